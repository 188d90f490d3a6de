// What the programs say to a person. A message never ends a program: whoever reads it may have gone.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace unet {

/// First of all in main(): descriptors 0 to 2 that are closed are opened on /dev/null, so that no file of a run takes
/// their numbers; a file-size limit is an error of the write instead of a signal.
void begin_program();

/// From now on a screen that has gone (a pager that was closed, a full disk) is told once on stderr, and the program
/// goes on.
void outlive_the_screen();

/// From now on what is said goes to standard error: standard output belongs to what a program reads.
void say_on_stderr();

/// What a program reads, to standard output. Failures are kept for check_screen().
void put_text(std::string_view text) noexcept;

/// Text to standard output, written at once. Failures are kept for check_screen().
void say_text(std::string_view text) noexcept;
template <class... Rest>
void say(fmt::format_string<Rest...> format, Rest&&... rest) {
  say_text(fmt::format(format, std::forward<Rest>(rest)...));
}

/// Text to standard error; whether it arrives is nobody's business.
void warn_text(std::string_view text) noexcept;
template <class... Rest>
void warn(fmt::format_string<Rest...> format, Rest&&... rest) {
  warn_text(fmt::format(format, std::forward<Rest>(rest)...));
}

/// Throws Error if something that was said could not be printed.
void check_screen();

}  // namespace unet
