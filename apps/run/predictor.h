// A network's probabilities of an image: of the image as it is, or the mean over views of it (--tta).
#pragma once

#include <string>
#include <vector>

#include "apps/run/inference.h"
#include "engine/io/image.h"

namespace unet {

/// Which views of an image are seen: itself; also mirrored left to right; each of these two at 0.75, 1 and 1.25 times
/// its sides as well, rounded to multiples of 32, which no network pads.
enum class Tta { none, flip, flip_scale };
/// "none", "flip" and "flip+scale".
const char* name_of(Tta tta);

class Predictor {
 public:
  /// Model and check outlive this. Every view's pass is shown to the check, if there is one.
  Predictor(models::Segmenter& model, Tta tta, LogitsCheck* check = nullptr)
      : model_(model), tta_(tta), check_(check) {}

  /// image u8 [H,W,3] -> probabilities [H,W,C] on the host: the mean of the views' probabilities, mirrored back and
  /// brought to the image's size (full_size.h). `of` names the image in messages.
  std::vector<float> operator()(const Image& image, const std::string& of);

  std::int64_t classes() const { return model_.spec().classes; }

 private:
  std::vector<float> of_view(const Image& view, const std::string& of);
  std::vector<float> of_both_ways(const Image& image, const std::string& of);

  models::Segmenter& model_;
  const Tta tta_;
  LogitsCheck* const check_;
};

}  // namespace unet
