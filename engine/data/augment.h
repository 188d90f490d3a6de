// Random changes of a training pair, a pure function of (seed, epoch, sample): no worker, cache or order has a say.
//
// standard: horizontal flip (1/2); a crop of 70-100 % of the area, sides in proportion 0.85..1/0.85, anywhere; rotation
// by up to 10 degrees; brightness, contrast and saturation times 0.75..1.25; hue turned by up to 10 degrees. The
// geometry is one affine map, sampled once: photographs bilinear, labels nearest, reflected at the borders (no pixel
// needs ignoring). The colours are one affine map of RGB, rounded once.
//
// strong: as standard, but enlarged or shrunk by 0.5 to 2 (even in its logarithm; what a shrunk picture leaves free is
// its reflection), rotation by up to 20 degrees, brightness, contrast and saturation times 0.6..1.4, hue by up to 15
// degrees; then, each for itself, Gaussian blur of 0.5 to 1.5 pixels (1/5), noise with a deviation of 2 to 12 of 255
// (1/5), and one patch of 1/8 to 1/3 of each side made gray and ignored (1/2).
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/data/dataset.h"

namespace unet {

enum class Augment { none, flip, standard, strong };
std::string_view name_of(Augment kind);
Augment parse_augment(std::string_view name);  ///< throws Error with the choices

/// The pair as it is kept for all epochs: for none and flip at the network's size; for standard shrunk (antialiased) to
/// at most 5/4 of it, so that the smallest crop is hardly enlarged and the largest hardly aliased; for strong to at
/// most 3/2.
LabelledImage prepare(LabelledImage pair, Augment kind, int height, int width);

/// Writes one sample, image [height, width, 3] and labels [height, width], from a prepared pair.
void augment(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch, std::int64_t sample,
             int height, int width, std::uint8_t* image, std::uint8_t* labels);

}  // namespace unet
