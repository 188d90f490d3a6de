// The one tag of EXIF that changes pixels: the orientation (EXIF 2.3, tag 0x0112), in the TIFF structure of
// a JPEG's APP1 or a PNG's eXIf.
#include <algorithm>
#include <cstring>

#include "engine/io/codec.h"

namespace unet::codec {
namespace {

/// Unsigned integers of a TIFF block; zero beyond its end, so that a broken block reads as one without tags.
struct Tiff {
  Bytes bytes;
  bool little = false;

  std::uint32_t byte(std::uint64_t at) const { return at < bytes.size() ? bytes[at] : 0; }
  std::uint32_t u16(std::uint64_t at) const {
    return little ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1);
  }
  std::uint32_t u32(std::uint64_t at) const {
    return little ? u16(at) | u16(at + 2) << 16 : u16(at) << 16 | u16(at + 2);
  }
};

}  // namespace

int exif_orientation(Bytes app1) {
  constexpr std::size_t prefix = 6;
  if (app1.size() < prefix || std::memcmp(app1.data(), "Exif\0\0", prefix) != 0) return 1;
  return tiff_orientation(app1.subspan(prefix));
}

int tiff_orientation(Bytes bytes) {
  Tiff tiff{bytes};
  tiff.little = tiff.byte(0) == 'I';
  if (tiff.byte(0) != tiff.byte(1) || (!tiff.little && tiff.byte(0) != 'M') || tiff.u16(2) != 42) return 1;
  const std::uint64_t directory = tiff.u32(4);
  const std::uint32_t entries = tiff.u16(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t entry = directory + 2 + std::uint64_t{12} * i;
    if (entry + 12 > tiff.bytes.size()) break;
    constexpr std::uint32_t orientation_tag = 0x0112, short_type = 3;
    if (tiff.u16(entry) != orientation_tag || tiff.u16(entry + 2) != short_type || tiff.u32(entry + 4) != 1) continue;
    const std::uint32_t value = tiff.u16(entry + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool turned = orientation >= 5;
  const int width = image.width, height = image.height, channels = image.channels;
  Image upright(turned ? height : width, turned ? width : height, channels);
  upright.warnings = image.warnings;
  // Where the upright image's (x, y) lies in the stored one: swap first, then mirror.
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (int y = 0; y < upright.height; ++y) {
    std::uint8_t* to = upright.row(y);
    for (int x = 0; x < upright.width; ++x) {
      int from_x = turned ? y : x, from_y = turned ? x : y;
      if (mirror_x) from_x = width - 1 - from_x;
      if (mirror_y) from_y = height - 1 - from_y;
      to = std::copy_n(image.row(from_y) + static_cast<std::ptrdiff_t>(from_x) * channels, channels, to);
    }
  }
  return upright;
}

}  // namespace unet::codec
