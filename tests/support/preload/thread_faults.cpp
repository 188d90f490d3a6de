// Loaded into a program by LD_PRELOAD: the system gives it no more than so many threads at a time.
//
//   UNET_FAULT_THREADS  how many, the first not counted
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {

std::atomic<int> alive{0};

struct Body {
  void* (*start)(void*);
  void* argument;
};

void* run(void* whole) {
  const Body body = *static_cast<Body*>(whole);
  delete static_cast<Body*>(whole);
  void* result = body.start(body.argument);
  --alive;
  return result;
}

}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                              void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  static const char* const most = std::getenv("UNET_FAULT_THREADS");
  if (++alive > (most == nullptr ? 1 << 30 : std::atoi(most))) {
    --alive;
    return EAGAIN;
  }
  return real(thread, attributes, run, new Body{start, argument});
}
