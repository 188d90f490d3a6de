// Pictures that let a person judge a mask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/image.h"
#include "engine/train/metrics.h"

namespace unet {

/// A class's colour, in overlays and in palettes alike; class 0 is black.
Rgb class_colour(int label);
/// The colours of classes 0, 1, ...
std::vector<Rgb> class_palette(int classes);

/// Labels of a picture [H,W]; 255 is ignored.
using Labels = const std::uint8_t*;

/// The photograph [H,W,3] with each class tinted in its colour and outlined by a light line within a dark one, so that
/// it is seen on any ground; a class 0 that is background stays as it is. Ignored pixels are hatched.
Image tint(const Image& photo, Labels labels, Background background);
/// Rows [top, top + count) of that, from the labels at most tint_reach() rows away.
int tint_reach(const Image& photo);
Image tint_rows(const Image& photo, Labels labels, Background background, int top, int count);

/// Hits, misses, false alarms and wrong classes, on the photograph [H,W,3] without its colours.
Image comparison(const Image& photo, Labels truth, Labels prediction, Background background);
/// Its colours before they are mixed with the photograph, and what they are called.
std::vector<std::pair<Rgb, std::string>> comparison_colours(Background background);

/// photo | truth | prediction | comparison, titled, with a legend below; small pictures enlarged by a whole number.
Image judgement(const Image& photo, Labels truth, Labels prediction, Background background,
                const std::vector<std::string>& class_names);

/// A picture that says which colour is which class.
Image legend_of(const std::vector<std::string>& class_names, Background background);

/// "road", or "class 3" where that is its only name.
std::string class_title(const std::vector<std::string>& class_names, std::size_t label);

}  // namespace unet
