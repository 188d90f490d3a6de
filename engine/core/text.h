// Text that came from outside (files, their names, metadata, errors of libraries about such) made fit to be shown. It
// passes here before it reaches a screen, a CSV, a JSON or an SVG, so that it says the same in all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace unet {

/// Length of the well-formed UTF-8 sequence at the start of `text` (no overlong form, no surrogate, at most U+10FFFF),
/// 0 if there is none. Unicode 15, table 3-7.
std::size_t utf8_length(std::string_view text) noexcept;

/// How many bytes at the start of `text` may be shown as they are: up to the first that is no UTF-8, a control
/// character (a terminal obeys U+0080 to U+009F too) not `allowed`, a mark that turns the direction of writing, a
/// separator of lines, or a character that XML forbids.
std::size_t plain_length(std::string_view text, std::string_view allowed = {}) noexcept;

/// The text with each byte that may not be shown as \xNN; what is escaped already stays as it is.
std::string escaped(std::string_view text);

/// The same for a message: cut after 120 bytes.
std::string printable(std::string_view text);

/// As a POSIX shell takes it for one word, whatever bytes it holds.
std::string shell_word(std::string_view word);
/// The same; a path that begins with a dash gets "./" before it, or a program would take it for an option.
std::string shell_path(std::string_view path);

/// The number that a text is: plain decimal, no blanks, no sign but '-', no leading zero (which makes a number octal
/// elsewhere); nothing for any other text or where it does not fit.
std::optional<std::int64_t> plain_number(std::string_view text);
std::optional<std::uint64_t> plain_unsigned(std::string_view text);
std::optional<double> plain_real(std::string_view text);

/// What stands in a message for an argument: text escaped, anything else itself.
template <class T>
using Shown = std::conditional_t<std::is_convertible_v<T, std::string_view>, std::string, T>;
template <class T>
decltype(auto) shown(T&& value) {
  if constexpr (std::is_convertible_v<T, std::string_view>) {
    return escaped(value);
  } else {
    return std::forward<T>(value);
  }
}

}  // namespace unet
