#include <cmath>

#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {
namespace {

void check_spec(const std::string& op, const kernels::LossSumSpec& spec) {
  const auto not_negative = [&](const char* what, double value) {
    if (!(value >= 0) || !std::isfinite(value)) throw Error("{}: {} must be a number >= 0, got {}", op, what, value);
  };
  not_negative("cross_entropy's weight", spec.cross_entropy);
  not_negative("focal's weight", spec.focal);
  not_negative("dice's weight", spec.dice);
  not_negative("dice_batch's weight", spec.dice_batch);
  not_negative("gamma", spec.gamma);
  not_negative("smooth", spec.smooth);
  if (!(spec.smoothing >= 0 && spec.smoothing <= 1)) {
    throw Error("{}: smoothing must be from 0 to 1, got {}", op, spec.smoothing);
  }
}

}  // namespace

Var loss_sum(Tape& tape, const Var& logits, const Tensor& labels, const kernels::LossSumSpec& spec,
             const Tensor& class_weights) {
  const std::string op = "loss_sum";
  check::labels(op, logits.value, labels);
  check_spec(op, spec);
  if (class_weights.defined()) {
    check::shape(op, "class_weights", class_weights, {logits.shape()[3]}, "C");
    check::alike(op, "class_weights", class_weights, logits.value, "logits");
  }
  const Tensor sums = Tensor::empty({logits.shape()[0] + 1, logits.shape()[3], 3}, Dtype::f64, labels.device());
  const Tensor memory = Tensor::empty({4}, Dtype::f64, labels.device());
  auto* result = memory.data<kernels::LossSumResult>();
  const Scratch scratch(
      dispatch<cpu::loss_sum_scratch, cuda::loss_sum_scratch>(labels.device(), logits.value.const_view()),
      labels.device());
  dispatch<cpu::loss_sum_forward, cuda::loss_sum_forward>(labels.device(), spec, logits.value.const_view(),
                                                          check::label_view(labels), class_weights.const_view(),
                                                          sums.data<double>(), result, scratch.data());
  if (labels.device().is_cpu()) check::no_invalid_labels(op, result->invalid, logits.value, spec.ignore_index);
  const Var out = tape.output(memory.range(3, {1}), {&logits});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, spec, logits, labels, class_weights, sums, memory, id = out.id] {
    const Tensor dloss = tape.take_gradient(id);
    if (!dloss.defined()) return;
    const Tensor dlogits = tape.gradient_target(logits.id);
    dispatch<cpu::loss_sum_backward, cuda::loss_sum_backward>(
        labels.device(), spec, logits.value.const_view(), check::label_view(labels), class_weights.const_view(),
        sums.data<double>(), memory.data<kernels::LossSumResult>(), dloss.data<double>(), dlogits.view());
    tape.add_gradient(logits.id, dlogits);
  });
  return out;
}

}  // namespace unet
