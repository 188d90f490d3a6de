#include "engine/core/dispatch.h"
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
  const Tensor memory = Tensor::empty({4}, Dtype::f64, labels.device());
  auto* sums = memory.data<kernels::CrossEntropySums>();
  const Scratch scratch(
      dispatch<cpu::cross_entropy_scratch, cuda::cross_entropy_scratch>(labels.device(), logits.value.const_view()),
      labels.device());
  dispatch<cpu::cross_entropy_forward, cuda::cross_entropy_forward>(labels.device(), spec, logits.value.const_view(),
                                                                    check::label_view(labels),
                                                                    class_weights.const_view(), sums, scratch.data());
  if (labels.device().is_cpu()) check::no_invalid_labels(op, sums->invalid, logits.value, spec.ignore_index);
  const Var out = tape.output(memory.range(3, {1}), {&logits});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, spec, logits, labels, class_weights, memory, id = out.id] {
    const Tensor dloss = tape.take_gradient(id);
    if (!dloss.defined()) return;
    const Tensor dlogits = tape.gradient_target(logits.id);
    dispatch<cpu::cross_entropy_backward, cuda::cross_entropy_backward>(
        labels.device(), spec, logits.value.const_view(), check::label_view(labels), class_weights.const_view(),
        memory.data<kernels::CrossEntropySums>(), dloss.data<double>(), dlogits.view());
    tape.add_gradient(logits.id, dlogits);
  });
  return out;
}

}  // namespace unet
