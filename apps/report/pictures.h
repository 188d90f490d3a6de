// Pictures as a page holds them: small enough, and inside of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/image.h"

namespace unet {

/// At most 300 pixels a side; what is smaller stays as it is.
Image photo_in_page(const Image& photo);
/// Labels [H,W] of that photo, at the same size.
std::vector<std::uint8_t> labels_in_page(const std::vector<std::uint8_t>& labels, const Image& photo);

/// A data: URI.
std::string picture_uri(const Image& image);

}  // namespace unet
