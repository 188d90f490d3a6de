#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var soft_dice_loss(Tape& tape, const Var& logits, const Tensor& labels, const kernels::SoftDiceSpec& spec) {
  const std::string op = "soft_dice_loss";
  check::labels(op, logits.value, labels);
  if (!(spec.smooth >= 0)) throw Error("{}: smooth must be >= 0, got {}", op, spec.smooth);
  check::label_values(op, labels, static_cast<int>(logits.shape()[3]), spec.ignore_index);
  const std::int64_t groups = spec.batch ? 1 : logits.shape()[0];
  const Tensor sums = Tensor::empty({groups, logits.shape()[3], 3}, Dtype::f64, labels.device());
  const Scratch scratch(kernels::cpu::soft_dice_scratch(logits.value.const_view()), labels.device());
  const double loss = kernels::cpu::soft_dice_forward(spec, logits.value.const_view(), check::label_view(labels),
                                                      sums.data<double>(), scratch.data());
  const Var out = tape.output(Tensor::of<double>({1}, Dtype::f64, {loss}), {&logits});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, spec, logits, labels, sums, id = out.id] {
    const Tensor dloss = tape.take_gradient(id);
    if (!dloss.defined()) return;
    const Tensor dlogits = tape.gradient_target(logits.id);
    kernels::cpu::soft_dice_backward(spec, logits.value.const_view(), check::label_view(labels), sums.data<double>(),
                                     *dloss.data<double>(), dlogits.view());
    tape.add_gradient(logits.id, dlogits);
  });
  return out;
}

}  // namespace unet
