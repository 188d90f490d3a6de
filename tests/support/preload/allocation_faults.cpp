// Loaded into a program by LD_PRELOAD: operator new throws std::bad_alloc at one of its calls.
//
//   UNET_FAULT_NEW_AT     the number of that call, from 1; 0 or not set: none
//   UNET_FAULT_NEW_BYTES  the smallest size that counts
//   UNET_FAULT_NEW_LOG    a file that gets the number of calls when the program ends by itself
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

long setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? 0 : std::atol(value);
}

const long fails_at = setting("UNET_FAULT_NEW_AT");
const std::size_t least_bytes = static_cast<std::size_t>(setting("UNET_FAULT_NEW_BYTES"));
std::atomic<long> calls{0};

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (bytes >= least_bytes && ++calls == fails_at) throw std::bad_alloc();
  void* block = nullptr;
  if (::posix_memalign(&block, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes) != 0) {
    throw std::bad_alloc();
  }
  return block;
}

const struct Report {
  ~Report() {
    const char* path = std::getenv("UNET_FAULT_NEW_LOG");
    if (path == nullptr) return;
    const int file = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    ::dprintf(file, "%ld\n", calls.load());
    ::close(file);
  }
} report;

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
