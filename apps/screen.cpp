#include "apps/screen.h"

#include <fcntl.h>
#include <unistd.h>

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

}  // namespace

void begin_program() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // The lowest free number is given: this one, as those below are open by now.
    if (::fcntl(descriptor, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
  }
  std::signal(SIGXFSZ, SIG_IGN);
}

void outlive_the_screen() {
  std::signal(SIGPIPE, SIG_IGN);
  outlived = true;
}

void say_on_stderr() { aside = true; }

void say_text(std::string_view text) noexcept { aside ? warn_text(text) : put_text(text); }

void put_text(std::string_view text) noexcept {
  if (fault != 0) return;
  fault = write_all(STDOUT_FILENO, text);
  if (fault == 0 || !outlived) return;
  char message[256];
  std::snprintf(message, sizeof message,
                "standard output is lost (%s): the run goes on, its figures are in its files\n", std::strerror(fault));
  warn_text(message);
}

void warn_text(std::string_view text) noexcept { static_cast<void>(write_all(STDERR_FILENO, text)); }

void check_screen() {
  if (fault == 0) return;
  throw Error("standard output cannot be written: {}; what was to be printed is lost", std::strerror(fault));
}

}  // namespace unet
