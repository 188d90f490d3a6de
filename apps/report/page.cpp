#include "apps/report/page.h"

#include <fmt/core.h>

#include <algorithm>

#include "apps/report/html.h"
#include "apps/report/style.h"

namespace unet {

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{}</title>\n<style>{}</style>\n</head>\n"
      "<body>\n<main>\n{}</main>\n</body>\n</html>\n",
      html_text(title), style_sheet(), body);
}

std::string section(std::string_view id, std::string_view heading, std::string_view content) {
  if (content.empty()) return "";
  return fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-h\">\n<h2 id=\"{0}-h\">{1}</h2>\n{2}</section>\n", id,
                     heading, content);
}

std::string pairs_table(std::string_view caption, const std::vector<std::pair<std::string, std::string>>& rows) {
  HtmlTable table{.caption = html_text(caption), .head = {}, .rows = {}, .kind = "pairs"};
  for (const auto& [name, value] : rows) table.rows.push_back({html_text(name), html_text(value)});
  return html_of(table);
}

std::string warning_list(const std::vector<std::string>& warnings) {
  std::string out;
  for (const std::string& warning : warnings) out += element("li", html_text(warning)) + "\n";
  return out.empty() ? "" : block("ul", out, " class=\"warnings\"");
}

std::string lines_block(std::string_view text) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += html_text(text.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return out.empty() ? "" : element("pre", out, " class=\"wrap\" tabindex=\"0\"") + "\n";
}

std::string without_places(std::string_view text) {
  constexpr std::string_view kBefore = " \t\n\"'(=,:", kAfter = " \t\n\"'()=,;";
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const bool begins = text[at] == '/' && (at == 0 || kBefore.find(text[at - 1]) != kBefore.npos);
    const std::size_t end = begins ? std::min(text.find_first_of(kAfter, at), text.size()) : at;
    if (end <= at + 1) {
      out += text[at++];
      continue;
    }
    std::string_view path = text.substr(at, end - at);
    while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    out += "\u2026" + std::string(path.substr(path.rfind('/')));
    at = end;
  }
  return out;
}

}  // namespace unet
