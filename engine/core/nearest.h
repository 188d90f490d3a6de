// Which of some words was meant.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace unet {

/// Letters to insert, delete or replace (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b);
/// "; the nearest is WORD" for the candidate that few letters tell from `word`; "" where none is near.
std::string nearest_text(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace unet
