#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var soft_dice_loss(Tape& tape, const Var& logits, const Tensor& labels, const kernels::SoftDiceSpec& spec) {
  const std::string op = "soft_dice_loss";
  check::labels(op, logits.value, labels);
  if (!(spec.smooth >= 0)) throw Error("{}: smooth must be >= 0, got {}", op, spec.smooth);
  const std::int64_t groups = spec.batch ? 1 : logits.shape()[0];
  const Tensor sums = Tensor::empty({groups, logits.shape()[3], 3}, Dtype::f64, labels.device());
  const Scratch scratch(
      dispatch<cpu::soft_dice_scratch, cuda::soft_dice_scratch>(labels.device(), logits.value.const_view()),
      labels.device());
  const Tensor memory = Tensor::empty({2}, Dtype::f64, labels.device());
  auto* result = memory.data<kernels::SoftDiceResult>();
  dispatch<cpu::soft_dice_forward, cuda::soft_dice_forward>(labels.device(), spec, logits.value.const_view(),
                                                            check::label_view(labels), sums.data<double>(), result,
                                                            scratch.data());
  if (labels.device().is_cpu()) check::no_invalid_labels(op, result->invalid, logits.value, spec.ignore_index);
  const Var out = tape.output(memory.range(1, {1}), {&logits});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, spec, logits, labels, sums, id = out.id] {
    const Tensor dloss = tape.take_gradient(id);
    if (!dloss.defined()) return;
    const Tensor dlogits = tape.gradient_target(logits.id);
    dispatch<cpu::soft_dice_backward, cuda::soft_dice_backward>(labels.device(), spec, logits.value.const_view(),
                                                                check::label_view(labels), sums.data<double>(),
                                                                dloss.data<double>(), dlogits.view());
    tape.add_gradient(logits.id, dlogits);
  });
  return out;
}

}  // namespace unet
