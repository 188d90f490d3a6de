// A network's answer to images, and whether it can be one: shared by training's validation, eval_unet and predict_unet.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/segmenter.h"

namespace unet {

/// The values of a dense f32 tensor, copied to the host.
std::vector<float> host_values(const Tensor& tensor);

/// Sees the passes of a network.
class LogitsCheck {
 public:
  virtual ~LogitsCheck() = default;
  /// A pass is about to be made on this tape.
  virtual void watch(Tape& tape) = 0;
  /// What it said of images [N,H,W,3], its logits; `of` is what they are called in messages.
  virtual void operator()(const Tensor& images, std::span<const float> logits, const std::string& of) = 0;
};

/// Finds weights that are finite and yet too large to compute with: every layer is looked at in the first pass, and in
/// later ones whose logits are not finite. (A ReLU turns NaN into 0, so logits alone may look well.)
class FiniteCheck final : public LogitsCheck {
 public:
  /// The model outlives this; `checkpoint` stands in the message.
  FiniteCheck(models::Segmenter& model, std::string checkpoint) : model_(model), checkpoint_(std::move(checkpoint)) {}

  /// The check outlives the pass.
  void watch(Tape& tape) override;
  /// Throws Error naming the images and the first layer whose values are not finite or beyond 1e15.
  void operator()(const Tensor& images, std::span<const float> logits, const std::string& of) override;

 private:
  void watch_every_layer(Tape& tape);

  models::Segmenter& model_;
  std::string checkpoint_;
  bool watched_ = false;
  std::string where_;  // the first such layer
};

}  // namespace unet
