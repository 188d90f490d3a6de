// Windows of pictures at the pictures' own scale, for networks that are trained on crops: a random window of a training
// pair, a pure function of (seed, epoch, sample), and the reflection that fills up pictures smaller than that.
#pragma once

#include <cstdint>

#include "engine/data/augment.h"

namespace unet {

/// Pixels [top, top + height) x [left, left + width) of a picture.
struct Window {
  int top = 0, left = 0, height = 0, width = 0;
};

/// The window, which lies within the image.
Image cut(const Image& image, const Window& window);

/// The image, filled up to at least these sides at its right and lower edge: reflected about those edges (half a pixel
/// outside the outer centres), as often as it takes.
Image pad_reflected(Image image, int height, int width);

/// The pair as it is kept for all epochs: at its own scale, filled up to the crop's size by pad_reflected. Labels of
/// the padding are kIgnoredLabel: it is surroundings to see and no second copy of a pixel to be counted.
LabelledImage prepare_for_crops(LabelledImage pair, int height, int width);

/// The part of a prepared picture that a sample is made of, anywhere in it with equal probability. It has the crop's
/// size; for standard, which sees 70 to 100 % of what it is given, up to 13/12 of the crop's sides, as far as the
/// picture reaches: so its zoom lies about the picture's own scale.
Window draw_window(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch,
                   std::int64_t sample, int height, int width);

/// Writes one sample, image [height,width,3] and labels [height,width]: the drawn window of a prepared pair, augmented
/// (augment.h).
void augment_crop(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch,
                  std::int64_t sample, int height, int width, std::uint8_t* image, std::uint8_t* labels);

}  // namespace unet
