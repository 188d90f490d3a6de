// What a network is trained towards: a sum of losses with weights, as a text like "cross_entropy + 0.5 dice".
#pragma once

#include <string>

#include "engine/ops/ops.h"

namespace unet::nn {

/// The terms (kernels/loss_sum.h) and their weights. 0: not there. `dice` has a group for each image, `dice_batch` one.
struct Loss {
  double cross_entropy = 1, focal = 0, dice = 0, dice_batch = 0;
  double smoothing = 0;  // of the labels in cross_entropy
  double gamma = 2;      // focal's
  bool operator==(const Loss&) const = default;
};

/// The loss in a text: terms with "+" between them, each at most once, each with a weight above 0 before it unless that
/// is 1. cross_entropy takes (smoothing=X), X from 0 to 1, focal takes (gamma=X), X >= 0. Blanks count for nothing.
/// Throws Error naming what is wrong.
Loss parse_loss(const std::string& text);
/// The text that parse_loss reads; equal losses have equal texts.
std::string text_of(const Loss& loss);

/// What the data say about their labels.
struct LossOptions {
  bool background = false;  // Dice counts class 0 too
  int ignore_index = 255;
  Tensor class_weights{};  // [C], of cross_entropy and focal; undefined: all 1
};
/// logits [N,H,W,C], labels u8 [N,H,W] -> [1] in f64. Label smoothing with class weights is
/// torch.nn.functional.cross_entropy's: a smoothed label counts every class with that class's weight, and the sum is
/// divided by the weights of the labels alone. Labels that are wrong: ops.h.
Var loss_of(Tape& tape, const Var& logits, const Tensor& labels, const Loss& loss, const LossOptions& options = {});

}  // namespace unet::nn
