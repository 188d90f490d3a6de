// Random changes of a training pair, a pure function of (seed, epoch, sample): no worker, cache or order has a say.
//
// standard: horizontal flip (1/2); a crop of 70-100 % of the area, sides in proportion 0.85..1/0.85, anywhere; rotation
// by up to 10 degrees; brightness, contrast and saturation times 0.75..1.25; hue turned by up to 10 degrees. The
// geometry is one affine map, sampled once: photographs bilinear, labels nearest, reflected at the borders (no pixel
// needs ignoring). The colours are one affine map of RGB, rounded once.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/data/dataset.h"

namespace unet {

enum class Augment { none, flip, standard };
std::string_view name_of(Augment kind);
Augment parse_augment(std::string_view name);  ///< throws Error with the choices

/// The pair as it is kept for all epochs: for none and flip at the network's size; for standard shrunk (antialiased) to
/// at most 5/4 of it, so that the smallest crop is hardly enlarged and the largest hardly aliased.
LabelledImage prepare(LabelledImage pair, Augment kind, int height, int width);

/// Writes one sample, image [height, width, 3] and labels [height, width], from a prepared pair.
void augment(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch, std::int64_t sample,
             int height, int width, std::uint8_t* image, std::uint8_t* labels);

}  // namespace unet
