// A network of two groups, small enough to be followed number by number.
#pragma once

#include "engine/nn/layers.h"
#include "engine/ops/ops.h"
#include "engine/train/adam.h"
#include "engine/train/step.h"
#include "kernels/elementwise.h"
#include "tests/support/tensors.h"

namespace unet::tests {

/// (convolution, batch norm, ReLU) in group "encoder", the logits of two classes in group "head".
struct Toy {
  explicit Toy(Dtype dtype = Dtype::f64, Device device = {}, bool with_copies = false)
      : parameters(dtype, device, with_copies) {
    parameters.begin_group("encoder");
    encoder.emplace(parameters, "encoder.conv", "encoder.norm", 3, 6);
    parameters.begin_group("head");
    head.emplace(parameters, "head", 6, 2);
    parameters.initialize(7);
  }

  Var loss(Tape& tape, std::uint64_t batch) {
    const Dtype dtype = parameters.copies().defined() ? Dtype::bf16 : parameters.dtype();
    const Tensor images = Tensor::of({2, 5, 6, 3}, dtype, normal_values(180, batch)).to(parameters.device());
    const Var y = head->forward(tape, encoder->forward(tape, tape.input(images)));
    return softmax_cross_entropy(tape, y, random_labels({2, 5, 6}, 2, batch).to(parameters.device()));
  }
  void pass(Step& step, std::uint64_t batch) {
    Tape tape;
    step.backward(tape, loss(tape, batch));
  }
  /// One of a single pass.
  StepResult step(Step& step, std::uint64_t batch, double lr = 1e-2, double clip_norm = 0) {
    step.begin({.lr = lr, .clip_norm = clip_norm});
    pass(step, batch);
    step.commit();
    return step.take_result().value();
  }

  Parameters parameters;
  std::optional<nn::ConvNormAct> encoder;
  std::optional<nn::PixelLinear> head;
};

}  // namespace unet::tests
