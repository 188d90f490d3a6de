#include "apps/overlay.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/core/error.h"

namespace unet {
namespace {

using Colour = std::array<std::uint8_t, 3>;

// Okabe & Ito's palette: told apart by colour-blind readers too. Class 1 is orange.
constexpr std::array<Colour, 7> kColours{
    {{230, 110, 0}, {0, 114, 178}, {0, 158, 115}, {204, 121, 167}, {240, 228, 66}, {86, 180, 233}, {213, 94, 0}}};
constexpr std::uint8_t kIgnored = 255;

std::uint8_t mix(std::uint8_t a, std::uint8_t b, int percent_b) {
  return static_cast<std::uint8_t>((a * (100 - percent_b) + b * percent_b + 50) / 100);
}

}  // namespace

Image tint(const Image& photo, const std::uint8_t* labels) {
  Image out = photo;
  const auto label = [&](int y, int x) { return labels[static_cast<std::size_t>(y) * photo.width + x]; };
  for (int y = 0; y < photo.height; ++y) {
    std::uint8_t* row = out.row(y);
    for (int x = 0; x < photo.width; ++x) {
      const std::uint8_t here = label(y, x);
      if (here == 0) continue;
      const bool edge = (x > 0 && label(y, x - 1) != here) || (x + 1 < photo.width && label(y, x + 1) != here) ||
                        (y > 0 && label(y - 1, x) != here) || (y + 1 < photo.height && label(y + 1, x) != here);
      for (std::size_t c = 0; c < 3; ++c) {
        std::uint8_t& value = row[3 * x + static_cast<int>(c)];
        if (here == kIgnored) {
          value = mix(value, 0, 60);
        } else {
          value = mix(value, kColours[static_cast<std::size_t>(here - 1) % kColours.size()][c], edge ? 95 : 45);
        }
      }
    }
  }
  return out;
}

Image side_by_side(const std::vector<Image>& pictures) {
  if (pictures.empty()) throw Error("side_by_side: no pictures");
  constexpr int kGap = 4;
  int width = -kGap;
  for (const Image& picture : pictures) width += picture.width + kGap;
  Image out(width, pictures.front().height, 3);
  std::fill(out.pixels.begin(), out.pixels.end(), std::uint8_t{255});
  int left = 0;
  for (const Image& picture : pictures) {
    for (int y = 0; y < picture.height; ++y) {
      std::memcpy(out.row(y) + 3 * left, picture.row(y), static_cast<std::size_t>(picture.width) * 3);
    }
    left += picture.width + kGap;
  }
  return out;
}

}  // namespace unet
