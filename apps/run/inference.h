// A network's answer to images, and whether it can be one: shared by training's validation, eval_unet and predict_unet.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "models/segmenter.h"

namespace unet {

/// The values of a dense f32 tensor, copied to the host.
std::vector<float> host_values(const Tensor& tensor);

/// Sees what a network says of images [N,H,W,3], its logits; `of` is what they are called in messages.
using LogitsCheck = std::function<void(const Tensor& images, std::span<const float> logits, const std::string& of)>;

/// Finds weights that are finite and yet too large to compute with: every layer is looked at for the first images, and
/// for later ones where their logits are not finite. (A ReLU turns NaN into 0, so logits alone may look well.)
class FiniteCheck {
 public:
  /// The model outlives this; `checkpoint` stands in the message.
  FiniteCheck(models::Segmenter& model, std::string checkpoint) : model_(model), checkpoint_(std::move(checkpoint)) {}

  /// Throws Error naming the images and the first layer whose values are not finite or beyond 1e15.
  void operator()(const Tensor& images, std::span<const float> logits, const std::string& of);

 private:
  models::Segmenter& model_;
  std::string checkpoint_;
  bool first_ = true;
};

}  // namespace unet
