#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var softmax_cross_entropy(Tape& tape, const Var& logits, const Tensor& labels, const kernels::CrossEntropySpec& spec,
                          const Tensor& class_weights) {
  const std::string op = "softmax_cross_entropy";
  check::labels(op, logits.value, labels);
  if (class_weights.defined()) {
    check::shape(op, "class_weights", class_weights, {logits.shape()[3]}, "C");
    check::alike(op, "class_weights", class_weights, logits.value, "logits");
  }
  const Scratch scratch(kernels::cpu::cross_entropy_scratch(logits.value.const_view()), labels.device());
  const kernels::CrossEntropySums sums = kernels::cpu::cross_entropy_forward(
      spec, logits.value.const_view(), check::label_view(labels), class_weights.const_view(), scratch.data());
  if (sums.invalid > 0) {
    throw Error("{}: {} labels are neither one of the {} classes nor the ignored value {}", op, sums.invalid,
                logits.shape()[3], spec.ignore_index);
  }
  const double loss = sums.weight > 0 ? sums.loss / sums.weight : 0.0;
  const Var out = tape.output(Tensor::of<double>({1}, Dtype::f64, {loss}), {&logits});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, spec, logits, labels, class_weights, weight = sums.weight, id = out.id] {
    const Tensor dloss = tape.take_gradient(id);
    if (!dloss.defined()) return;
    const Tensor dlogits = tape.gradient_target(logits.id);
    kernels::cpu::cross_entropy_backward(spec, logits.value.const_view(), check::label_view(labels),
                                         class_weights.const_view(), weight, *dloss.data<double>(), dlogits.view());
    tape.add_gradient(logits.id, dlogits);
  });
  return out;
}

}  // namespace unet
