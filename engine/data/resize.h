// Change of size as Pillow (up to 12) computes it, value for value, so that networks trained elsewhere see the same
// pixels.
#pragma once

#include "engine/io/image.h"

namespace unet {

/// Antialiased bilinear: a triangle filter whose support grows with the scale when shrinking; rows first, then columns,
/// each rounded to 8 bits. Returns the image untouched where the size already fits. Throws Error on a side below 1.
Image resize_bilinear(Image image, int width, int height);

/// Which of `from` pixels lies under the centre of each of `to`: floor((x + 0.5) * from / to); never falling.
std::vector<int> nearest_positions(int from, int to);

/// The pixel under each centre. For masks: no value appears that was not there.
Image resize_nearest(Image image, int width, int height);

}  // namespace unet
