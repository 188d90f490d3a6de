#include "apps/run/screen.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "engine/core/error.h"

namespace unet {
namespace {

int fault = 0;  // errno of the first failure of standard output
bool outlived = false;
bool aside = false;

/// 0, or errno.
int write_all(int descriptor, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

/// The same, escaped; takes no memory, for there may be none.
int write_shown(int descriptor, std::string_view text) noexcept {
  for (;;) {
    const std::size_t plain = plain_length(text, "\n\t");
    if (const int error = write_all(descriptor, text.substr(0, plain)); error != 0) return error;
    if (plain == text.size()) return 0;
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[plain])));
    if (const int error = write_all(descriptor, escape); error != 0) return error;
    text.remove_prefix(plain + 1);
  }
}

/// Keeps the first failure of standard output, and tells it if the program goes on.
void note(int error) noexcept {
  fault = error;
  if (fault == 0 || !outlived) return;
  char message[256];
  std::snprintf(message, sizeof message,
                "standard output is lost (%s): the run goes on, its figures are in its files\n", std::strerror(fault));
  warn_text(message);
}

/// Kernels keep their tiles on the stack. Threads get the usual one whatever the shell's limit; this one grows up to
/// the limit, which is raised as far as the system lets it.
void provide_stacks() {
  constexpr rlim_t usual = 8 << 20, least = 1 << 20;
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) == 0) {
    if (::pthread_attr_setstacksize(&attributes, usual) == 0) ::pthread_setattr_default_np(&attributes);
    ::pthread_attr_destroy(&attributes);
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= usual) return;
  limit.rlim_cur = std::min(limit.rlim_max, usual);
  ::setrlimit(RLIMIT_STACK, &limit);
  if (limit.rlim_cur >= least) return;
  warn("{}: a stack of {} KiB is too small, at least {} KiB are needed: raise the limit (ulimit -s)\n",
       program_invocation_short_name, limit.rlim_cur >> 10, least >> 10);
  ::_exit(1);
}

}  // namespace

void begin_program() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // The lowest free number is given: this one, as those below are open by now.
    if (::fcntl(descriptor, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
  }
  std::signal(SIGXFSZ, SIG_IGN);
  provide_stacks();
}

void outlive_the_screen() {
  std::signal(SIGPIPE, SIG_IGN);
  outlived = true;
}

void say_on_stderr() { aside = true; }

void say_text(std::string_view text) noexcept {
  if (aside) return warn_text(text);
  if (fault == 0) note(write_shown(STDOUT_FILENO, text));
}

void put_text(std::string_view text) noexcept {
  if (fault == 0) note(write_all(STDOUT_FILENO, text));
}

void warn_text(std::string_view text) noexcept { static_cast<void>(write_shown(STDERR_FILENO, text)); }

void check_screen() {
  if (fault == 0) return;
  throw Error("standard output cannot be written: {}; what was to be printed is lost", std::strerror(fault));
}

}  // namespace unet
