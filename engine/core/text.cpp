#include "engine/core/text.h"

#include <fmt/core.h>

#include <charconv>

namespace unet {
namespace {

/// Of a code point of one to three bytes; longer ones are all harmless. All of U+202A..202E, 2066..2069 (directions),
/// 200E, 200F, 061C (marks of direction), 2028, 2029 (separators), FEFF (seen by nobody), FFFE, FFFF (no characters).
bool is_harmful(std::string_view c) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(c[i]); };
  if (c.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (c.size() == 2) return (byte(0) == 0xC2 && byte(1) < 0xA0) || c == "\u061C";
  if (c.size() > 3) return false;
  return c == "\u200E" || c == "\u200F" || (c >= "\u2028" && c <= "\u202E") || (c >= "\u2066" && c <= "\u2069") ||
         c == "\uFEFF" || c >= "\uFFFE";
}

template <class T>
std::optional<T> parsed(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  if (text.size() > first + 1 && text[first] == '0' && is_digit(text[first + 1])) return std::nullopt;
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF ? 2
                             : (lead & 0xF0) == 0xE0      ? 3
                             : (lead & 0xF8) == 0xF0      ? 4
                                                          : 0;
  if (length == 0 || lead > 0xF4) return 0;
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

std::size_t plain_length(std::string_view text, std::string_view allowed) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::string_view c = text.substr(at, utf8_length(text.substr(at, 4)));
    if (c.empty() || (is_harmful(c) && allowed.find(c) == allowed.npos)) break;
    at += c.size();
  }
  return at;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t plain = plain_length(text);
    out += text.substr(0, plain);
    if (plain == text.size()) return out;
    // A byte at a time: those that follow in the same character are no UTF-8 without it.
    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[plain]));
    text.remove_prefix(plain + 1);
  }
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLimit = 120;
  if (text.size() <= kLimit) return escaped(text);
  std::size_t end = kLimit;
  // Not within a character, if it is one.
  while (end > kLimit - 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return escaped(text.substr(0, end)) + "...";
}

std::string shell_word(std::string_view word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+:,@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == word.npos) return std::string(word);
  const bool plain = plain_length(word) == word.size();
  std::string out = plain ? "'" : "$'";  // $'..' knows escapes: what may not be shown can be typed
  for (std::string_view rest = word;;) {
    const std::size_t length = plain_length(rest);
    for (const char c : rest.substr(0, length)) {
      if (plain) {
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
      } else {
        out += std::string(c == '\'' || c == '\\' ? 1 : 0, '\\') + c;
      }
    }
    if (length == rest.size()) break;
    out += fmt::format("\\{:03o}", static_cast<unsigned char>(rest[length]));
    rest.remove_prefix(length + 1);
  }
  return out + "'";
}

std::optional<std::int64_t> plain_number(std::string_view text) { return parsed<std::int64_t>(text); }
std::optional<std::uint64_t> plain_unsigned(std::string_view text) { return parsed<std::uint64_t>(text); }
std::optional<double> plain_real(std::string_view text) { return parsed<double>(text); }

std::string shell_path(std::string_view path) {
  return shell_word(fmt::format("{}{}", path.starts_with('-') ? "./" : "", path));
}

}  // namespace unet
