#include "apps/report/html.h"

#include <fmt/core.h>

#include <cmath>

#include "engine/core/text.h"

namespace unet {

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : escaped(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string element(std::string_view tag, std::string_view content, std::string_view attributes) {
  return fmt::format("<{0}{1}>{2}</{0}>", tag, attributes, content);
}

std::string block(std::string_view tag, std::string_view content, std::string_view attributes) {
  return fmt::format("<{0}{1}>\n{2}</{0}>\n", tag, attributes, content);
}

std::string number(std::optional<double> value, int decimals) {
  if (!value || !std::isfinite(*value)) return "\u2013";
  const std::string shown = std::fabs(*value) >= 0.0005 || *value == 0 || decimals < 4
                                ? fmt::format("{:.{}f}", *value, decimals)
                                : fmt::format("{:.2g}", *value);
  return fmt::format("<data value=\"{}\">{}</data>", *value, shown);
}

std::string count(std::int64_t value) {
  // Groups of three, as a person counts; a narrow blank that does not break.
  std::string digits = std::to_string(value), out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0 && digits[i - 1] != '-') out += "\u202f";
    out += digits[i];
  }
  return fmt::format("<data value=\"{}\">{}</data>", value, out);
}

std::string jpeg_uri(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out = "data:image/jpeg;base64,";
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < bytes.size() ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
  }
  return out;
}

std::string html_of(const HtmlTable& table) {
  std::string out;
  if (!table.caption.empty()) out += element("caption", table.caption);
  std::string head, body;
  for (const std::string& name : table.head) head += element("th", name, " scope=\"col\"");
  if (!head.empty()) out += block("thead", element("tr", head));
  for (const std::vector<std::string>& row : table.rows) {
    std::string cells;
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells += i == 0 ? element("th", row[i], " scope=\"row\"") : element("td", row[i]);
    }
    body += element("tr", cells) + "\n";
  }
  out += block("tbody", body);
  return scrolled(element("table", out, table.kind.empty() ? "" : fmt::format(" class=\"{}\"", table.kind)));
}

std::string scrolled(std::string_view content) {
  return block("div", element("div", content, " class=\"scroll\" tabindex=\"0\""), " class=\"card\"");
}

}  // namespace unet
