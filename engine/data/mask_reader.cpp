#include "engine/data/mask_reader.h"

#include <algorithm>
#include <unordered_map>

#include "engine/core/error.h"

namespace unet {
namespace {

bool is_gray(const std::uint8_t* rgb) { return rgb[0] == rgb[1] && rgb[1] == rgb[2]; }

/// Black and white. Luma as of ITU-R BT.601.
Image binarized(const Image& picture, int threshold, MaskFacts& facts) {
  Image mask(picture.width, picture.height, 1);
  const auto channels = static_cast<std::size_t>(picture.channels);
  for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
    const std::uint8_t* pixel = picture.pixels.data() + i * channels;
    const int gray = channels < 3 ? pixel[0] : (299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2] + 500) / 1000;
    facts.changed += gray != 0 && gray != 255;
    mask.pixels[i] = gray >= threshold ? 255 : 0;
  }
  return mask;
}

/// RGB of equal channels to one channel.
Image as_gray(const Image& mask, const std::filesystem::path& path) {
  Image gray(mask.width, mask.height, 1);
  for (std::size_t i = 0; i < gray.pixels.size(); ++i) {
    const std::uint8_t* rgb = mask.pixels.data() + 3 * i;
    if (!is_gray(rgb)) {
      throw Error(
          "{}: mask is an RGB PNG that shows colours, {} at x={} y={} for one; expected one value per pixel, the class "
          "index, or to be told which colour is which class: --class-map FILE (--write-class-map FILE proposes one)",
          path.string(), text_of(color_value(rgb[0], rgb[1], rgb[2])), i % static_cast<std::size_t>(mask.width),
          i / static_cast<std::size_t>(mask.width));
    }
    gray.pixels[i] = rgb[0];
  }
  return gray;
}

/// Places in a class map.
class Coder {
 public:
  explicit Coder(const ClassMap& map) {
    for (std::size_t i = 0; i < map.entries.size(); ++i) {
      code_of_[map.entries[i].value] = static_cast<std::uint8_t>(i);
    }
  }

  Image coded(const Image& mask, MaskFacts& facts) const {
    Image out(mask.width, mask.height, 1);
    MaskValue last = 0;
    std::uint8_t code = find(mask, mask.pixels.data(), last);  // neighbours are alike
    const auto channels = static_cast<std::size_t>(mask.channels);
    for (std::size_t i = 0; i < out.pixels.size(); ++i) {
      const std::uint8_t* pixel = mask.pixels.data() + i * channels;
      if (!std::equal(pixel, pixel + channels, i == 0 ? pixel : pixel - channels)) code = find(mask, pixel, last);
      out.pixels[i] = code;
      if (code != kUnknownCode) continue;
      if (facts.unknown.size() > MaskFacts::kMostUnknown && !facts.unknown.contains(last)) continue;
      const auto width = static_cast<std::size_t>(mask.width);
      const UnknownValue first{0, static_cast<int>(i % width), static_cast<int>(i / width)};
      ++facts.unknown.try_emplace(last, first).first->second.pixels;
    }
    return out;
  }

 private:
  /// A gray value or index before its colour, a colour before its gray value. `value` is what to call it.
  std::uint8_t find(const Image& mask, const std::uint8_t* pixel, MaskValue& value) const {
    const std::uint8_t* rgb = pixel;
    const std::uint8_t gray[3] = {*pixel, *pixel, *pixel};
    if (mask.channels == 1) rgb = mask.palette.empty() ? gray : mask.palette.data() + 3 * std::size_t{*pixel};
    const MaskValue color = color_value(rgb[0], rgb[1], rgb[2]);
    value = mask.channels == 1 || is_gray(rgb) ? MaskValue{*pixel} : color;
    for (const MaskValue wanted : {value, color}) {
      if (const auto found = code_of_.find(wanted); found != code_of_.end()) return found->second;
    }
    return kUnknownCode;
  }

  std::unordered_map<MaskValue, std::uint8_t> code_of_;
};

}  // namespace

Image read_mask_codes(const std::filesystem::path& path, const DatasetOptions& options, MaskFacts& facts) {
  if (options.binarize > 0) return binarized(load_image(path, Exif::ignore), options.binarize, facts);
  const Image mask = load_mask(path);
  if (options.class_map) return Coder(*options.class_map).coded(mask, facts);
  return mask.channels == 1 ? mask : as_gray(mask, path);
}

}  // namespace unet
