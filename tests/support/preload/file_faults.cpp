// Loaded into a program by LD_PRELOAD: counts its calls that reach files below a folder, and ends the program or lets
// the call fail at one of them. The program itself knows nothing of it.
//
//   UNET_FAULT_UNDER  the folder (absolute); calls elsewhere are neither counted nor touched
//   UNET_FAULT_CALLS  the calls that count, separated by blanks: open write ftruncate fsync close link rename unlink;
//                     all if not set
//   UNET_FAULT_NAME   counts only where the file's path below the folder holds this text (of a link or a rename: the
//                     new name)
//   UNET_FAULT_LOG    a file that gets a line "call path" for each call that counts
//   UNET_FAULT_AT     the number of the call at which it happens, from 1
//   UNET_FAULT_DO     "signal N": the process gets this signal just before the call; "tear": of the first write from
//                     that call on (threads may number calls otherwise than the run before) half is written, then
//                     SIGKILL; "error N": the call fails with this errno; "errors N": and all later ones do too;
//                     "wait N": the call begins N ms later, "waits N": and all later ones do too
//   UNET_FAULT_LINKS  "none": the folder's file system has no hard links
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

namespace {

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Settings {
  std::string under = setting("UNET_FAULT_UNDER") + "/", calls = setting("UNET_FAULT_CALLS"),
              name = setting("UNET_FAULT_NAME"), log = setting("UNET_FAULT_LOG"), act = setting("UNET_FAULT_DO");
  bool links = setting("UNET_FAULT_LINKS") != "none";
  long at = std::atol(setting("UNET_FAULT_AT").c_str());
  int number = std::atoi(act.substr(act.find(' ') + 1).c_str());
  long count = 0;
};

Settings& settings() {
  static Settings out;
  return out;
}

template <class Function>
Function* next_of(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

void log_line(const std::string& text) {
  const long file =
      ::syscall(SYS_openat, AT_FDCWD, settings().log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  ::syscall(SYS_write, file, text.data(), text.size());
  ::syscall(SYS_close, file);
}

/// The number of a call. The lines of the log stand in the order of the numbers.
long counted(const std::string& line) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!settings().log.empty()) log_line(line);
  return ++settings().count;
}

enum class Verdict { pass, fail, tear };

/// What becomes of this call. With fail, errno is set.
Verdict judge(const char* call, const std::string& path) {
  Settings& s = settings();
  if (s.under == "/" || path.compare(0, s.under.size(), s.under) != 0) return Verdict::pass;
  if (!s.calls.empty() && (" " + s.calls + " ").find(" " + std::string(call) + " ") == std::string::npos) {
    return Verdict::pass;
  }
  const std::string name = path.substr(s.under.size());
  if (name.find(s.name) == std::string::npos) return Verdict::pass;
  const long number = counted(std::string(call) + " " + name + "\n");
  const bool tear = s.act == "tear", lasting = s.act.rfind("errors ", 0) == 0 || s.act.rfind("waits ", 0) == 0;
  if (s.at == 0 || (lasting || tear ? number < s.at : number != s.at)) return Verdict::pass;
  if (tear) return std::strcmp(call, "write") == 0 ? Verdict::tear : Verdict::pass;
  if (s.act.rfind("signal ", 0) == 0) {
    ::kill(::getpid(), s.number);
    return Verdict::pass;
  }
  if (s.act.rfind("wait", 0) == 0) {
    ::usleep(static_cast<useconds_t>(s.number) * 1000);
    return Verdict::pass;
  }
  errno = s.number;
  return Verdict::fail;
}

std::string path_of(int descriptor) {
  char path[4096];
  const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

int open_judged(const char* path, int flags, mode_t mode) {
  if (judge("open", path) == Verdict::fail) return -1;
  return next_of<int(const char*, int, ...)>("open")(path, flags, mode);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  return open_judged(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  return open_judged(path, flags, mode);
}

ssize_t write(int descriptor, const void* data, size_t bytes) {
  const auto real = next_of<ssize_t(int, const void*, size_t)>("write");
  const Verdict verdict = judge("write", path_of(descriptor));
  if (verdict == Verdict::fail) return -1;
  if (verdict == Verdict::tear) {
    real(descriptor, data, bytes / 2);
    ::kill(::getpid(), SIGKILL);
  }
  return real(descriptor, data, bytes);
}

int ftruncate(int descriptor, off_t length) noexcept {
  if (judge("ftruncate", path_of(descriptor)) == Verdict::fail) return -1;
  return next_of<int(int, off_t)>("ftruncate")(descriptor, length);
}

int fsync(int descriptor) {
  if (judge("fsync", path_of(descriptor)) == Verdict::fail) return -1;
  return next_of<int(int)>("fsync")(descriptor);
}

int close(int descriptor) {
  const Verdict verdict = judge("close", path_of(descriptor));
  const int error = errno;
  const int result = next_of<int(int)>("close")(descriptor);  // a close that fails has closed all the same
  if (verdict != Verdict::fail) return result;
  errno = error;
  return -1;
}

int link(const char* from, const char* to) noexcept {
  if (judge("link", to) == Verdict::fail) return -1;
  if (!settings().links && std::string(to).compare(0, settings().under.size(), settings().under) == 0) {
    errno = EPERM;
    return -1;
  }
  return next_of<int(const char*, const char*)>("link")(from, to);
}

int rename(const char* from, const char* to) noexcept {
  if (judge("rename", to) == Verdict::fail) return -1;
  return next_of<int(const char*, const char*)>("rename")(from, to);
}

int unlink(const char* path) noexcept {
  if (judge("unlink", path) == Verdict::fail) return -1;
  return next_of<int(const char*)>("unlink")(path);
}

}  // extern "C"
