#include "engine/nn/loss.h"

namespace unet::nn {

Var loss_of(Tape& tape, const Var& logits, const Tensor& labels, const Loss& loss, const LossOptions& options) {
  // One plain term has an op of its own, which is faster.
  const std::string text = text_of(loss);
  if (text == "cross_entropy") {
    return softmax_cross_entropy(tape, logits, labels, {options.ignore_index}, options.class_weights);
  }
  if (text == "dice" || text == "dice_batch") {
    kernels::SoftDiceSpec spec;
    spec.batch = text == "dice_batch";
    spec.background = options.background;
    spec.ignore_index = options.ignore_index;
    return soft_dice_loss(tape, logits, labels, spec);
  }
  const kernels::LossSumSpec spec{.cross_entropy = loss.cross_entropy,
                                  .focal = loss.focal,
                                  .dice = loss.dice,
                                  .dice_batch = loss.dice_batch,
                                  .smoothing = loss.smoothing,
                                  .gamma = loss.gamma,
                                  .smooth = kernels::SoftDiceSpec().smooth,
                                  .background = options.background,
                                  .ignore_index = options.ignore_index};
  return loss_sum(tape, logits, labels, spec, options.class_weights);
}

}  // namespace unet::nn
