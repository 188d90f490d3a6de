// Pictures that let a person judge a mask.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/data/image.h"

namespace unet {

/// The photograph [H,W,3] with each foreground class of `labels` ([H,W], classes 1..) tinted in a colour of its own and
/// outlined; ignored pixels (255) darkened.
Image tint(const Image& photo, const std::uint8_t* labels);

/// Pictures of equal height side by side, with a white gap.
Image side_by_side(const std::vector<Image>& pictures);

}  // namespace unet
