// The look of a page: its colours by day and by night, and the style sheet that is made of them.
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace unet {

/// A variable of the style, `var(--name)`, and its value (#rrggbb) on a light and on a dark ground.
struct PageColour {
  const char* name;
  const char* light;
  const char* dark;
};

/// paper and card are grounds; ink, soft, link, good and bad are text; the others are lines and areas.
inline constexpr std::array<PageColour, 20> kPageColours{{
    {"paper", "#f4f6f9", "#10141a"}, {"card", "#ffffff", "#1a2029"}, {"ink", "#1a2230", "#e6eaf0"},
    {"soft", "#4d5a6b", "#a9b4c2"},  {"link", "#1b56c0", "#8ab6ff"}, {"good", "#0b6b4b", "#58d6a4"},
    {"bad", "#a32218", "#ff9a8f"},   {"line", "#d6dce5", "#353f4d"}, {"axis", "#7b8794", "#8593a5"},
    {"band", "#f0f3f8", "#212936"},  {"heat", "#1f5fd0", "#7fb0ff"}, {"s1", "#1f5fd0", "#7fb0ff"},
    {"s2", "#c2410c", "#ff9d5c"},    {"s3", "#047857", "#4fd6a0"},   {"s4", "#9d2a8e", "#f08be0"},
    {"s5", "#756200", "#e0cc5a"},    {"s6", "#0e7490", "#5cd0e6"},   {"s7", "#b91c1c", "#ff8a8a"},
    {"s8", "#5b4bb3", "#b7a8ff"},    {"s9", "#475569", "#b6c2d1"},
}};
/// How much of `heat` covers the card in a cell of share 1.
inline constexpr double kMostHeat = 0.45;

/// The colour of the i-th curve of a chart, and its dashes once the colours have been used up.
std::string series_colour(std::size_t i);
std::string series_dash(std::size_t i);

std::string style_sheet();

}  // namespace unet
