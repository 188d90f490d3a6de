// What the programs say to a person. A message never ends a program: whoever reads it may have gone. This is the one
// door to the screen, and it lets no byte through that a terminal obeys: names and texts of files may hold any.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

#include "engine/core/text.h"

namespace unet {

/// First of all in main(): descriptors 0 to 2 that are closed are opened on /dev/null, so that no file of a run takes
/// their numbers; a file-size limit is an error of the write instead of a signal; stacks are as large as usual, or the
/// program ends with exit code 1.
void begin_program();

/// From now on a screen that has gone (a pager that was closed, a full disk) is told once on stderr, and the program
/// goes on.
void outlive_the_screen();

/// From now on what is said goes to standard error: standard output belongs to what a program reads.
void say_on_stderr();

/// Lines to standard output, written at once; what is no plain text but a line break or a tab is escaped. Failures are
/// kept for check_screen().
void say_text(std::string_view text) noexcept;
/// The same; line breaks in an argument are escaped, too, so that no name can pass for a line of the program.
template <class... Rest>
void say(fmt::format_string<Shown<Rest>...> format, Rest&&... rest) {
  say_text(fmt::format(format, shown(std::forward<Rest>(rest))...));
}
/// To standard output as it is: what a program reads, or commands to the terminal.
void put_text(std::string_view text) noexcept;

/// The same to standard error; whether it arrives is nobody's business.
void warn_text(std::string_view text) noexcept;
template <class... Rest>
void warn(fmt::format_string<Shown<Rest>...> format, Rest&&... rest) {
  warn_text(fmt::format(format, shown(std::forward<Rest>(rest))...));
}

/// Throws Error if something that was said could not be printed.
void check_screen();

}  // namespace unet
