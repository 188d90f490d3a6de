// Text of others inside of a page or a picture, and the few elements that a page is put together from. What is written
// is both HTML 5 and well-formed XML: every element is closed, every attribute quoted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace unet {

/// Any bytes as text of an element or of a quoted attribute: & < > " ' as entities, what is no plain text as \xNN.
std::string html_text(std::string_view text);

/// <tag attributes>content</tag>; the content is markup already, attributes are ` name="value"`.
std::string element(std::string_view tag, std::string_view content, std::string_view attributes = {});

/// The same with its content on lines of its own.
std::string block(std::string_view tag, std::string_view content, std::string_view attributes = {});

/// A number as a person reads it, with the whole of it for a program: <data value="0.91234567">0.9123</data>; a dash
/// where there is none.
std::string number(std::optional<double> value, int decimals = 4);
std::string count(std::int64_t value);

/// data:image/jpeg;base64,...
std::string jpeg_uri(std::span<const std::uint8_t> jpeg);

/// A table; the cells are markup already, the first of each row its heading.
struct HtmlTable {
  std::string caption;  // markup
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  std::string kind;  // class, or empty
};
/// On a card, within which it scrolls where it is too wide.
std::string html_of(const HtmlTable& table);
std::string scrolled(std::string_view content);

}  // namespace unet
