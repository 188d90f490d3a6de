// A page as one file: no script, nothing from a network, its pictures inside.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unet {

/// title: text of others; body: markup.
std::string html_page(std::string_view title, std::string_view body);

/// <section> under a heading of the second level; nothing where the content is empty. id: a word.
std::string section(std::string_view id, std::string_view heading, std::string_view content);

/// Names and values of others, a row each.
std::string pairs_table(std::string_view caption, const std::vector<std::pair<std::string, std::string>>& rows);

/// Sentences of others as a list; nothing where there are none.
std::string warning_list(const std::vector<std::string>& warnings);

/// Lines of others as they stand.
std::string lines_block(std::string_view text);

/// Leaves no place of this machine in a text: of a path that begins at the root its last part stays, after "…/".
std::string without_places(std::string_view text);

}  // namespace unet
