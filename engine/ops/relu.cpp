#include "kernels/relu.h"

#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var relu(Tape& tape, const Var& x) {
  check::activation("relu", "x", x.value);
  const Tensor y = Tensor::empty(x.shape(), x.value.dtype(), x.value.device());
  dispatch<cpu::relu_forward, cuda::relu_forward>(x.value.device(), x.value.const_view(), y.view());
  const Var out = tape.output(y, {&x});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, y, x_id = x.id, y_id = out.id] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dx = tape.gradient_target(x_id);
    dispatch<cpu::relu_backward, cuda::relu_backward>(dy.device(), y.const_view(), dy.const_view(), dx.view());
    tape.add_gradient(x_id, dx);
  });
  return out;
}

}  // namespace unet
