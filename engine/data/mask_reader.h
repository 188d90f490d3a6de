// From the file of a mask to one code a pixel, whatever the file shows: values as stored, places in a class map, or
// black and white by a threshold. What a code means: mask_kind.h.
#pragma once

#include <map>

#include "engine/data/dataset.h"

namespace unet {

/// A value that no class map names.
struct UnknownValue {
  std::int64_t pixels = 0;
  int x = 0, y = 0;  ///< of its first pixel
};

/// What reading one mask met.
struct MaskFacts {
  std::int64_t changed = 0;                   ///< pixels that were neither 0 nor 255 before --binarize
  std::map<MaskValue, UnknownValue> unknown;  ///< kMostUnknown, and one more where there are more

  static constexpr std::size_t kMostUnknown = 256;
};

/// The code of a pixel that no class map names.
inline constexpr std::uint8_t kUnknownCode = 255;

/// [height, width, 1]: with a class map places in it or kUnknownCode, with binarize 0 and 255, else gray values or
/// palette indices as stored; RGB of equal channels is gray. Throws Error on a broken file and where it shows colours,
/// or is no PNG, without being told how to take it.
Image read_mask_codes(const std::filesystem::path& path, const DatasetOptions& options, MaskFacts& facts);

}  // namespace unet
