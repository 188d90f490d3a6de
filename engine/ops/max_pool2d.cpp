#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/max_pool.h"

namespace unet {

Var max_pool2d(Tape& tape, const Var& x) {
  check::activation("max_pool2d", "x", x.value);
  const Shape& s = x.shape();
  if (s[1] < 2 || s[2] < 2) throw Error("max_pool2d: x must have at least 2x2 pixels, got {} (N,H,W,C)", s.str());
  const Tensor y = Tensor::empty({s[0], s[1] / 2, s[2] / 2, s[3]}, x.value.dtype(), x.value.device());
  dispatch<cpu::max_pool_forward, cuda::max_pool_forward>(x.value.device(), x.value.const_view(), y.view());
  const Var out = tape.output(y, {&x});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, x = x.value, x_id = x.id, y_id = out.id] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dx = tape.gradient_target(x_id);
    dispatch<cpu::max_pool_backward, cuda::max_pool_backward>(dy.device(), x.const_view(), dy.const_view(), dx.view());
    tape.add_gradient(x_id, dx);
  });
  return out;
}

}  // namespace unet
