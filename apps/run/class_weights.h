// How much each class counts in cross-entropy and focal loss.
#pragma once

#include <string>
#include <vector>

#include "engine/data/dataset.h"

namespace unet {

struct ClassWeights {
  enum class Kind { none, inverse, median_frequency, given };
  Kind kind = Kind::none;
  std::vector<double> given;
};

/// none, inverse, median-frequency, or numbers W,W,... >= 0 of which one is above 0. Throws Error naming what is wrong.
ClassWeights parse_class_weights(const std::string& text);
std::string text_of(const ClassWeights& weights);

/// A weight for each class, empty for none. inverse: all pixels / (number of classes * pixels of the class), so that
/// every class has the same part of the loss and the mean over the pixels is 1. median-frequency (Eigen & Fergus 2015,
/// section 6.3.2): the frequency of a class is its share of the pixels in the images that hold it, its weight the
/// median of all frequencies / its own. A class without a pixel counts for nothing here, and has weight 0.
std::vector<double> weights_of(const ClassWeights& weights, const std::vector<ClassShare>& classes);

}  // namespace unet
