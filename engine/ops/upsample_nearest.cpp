#include "kernels/upsample_nearest.h"

#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var upsample_nearest(Tape& tape, const Var& x, const Tensor& out) {
  check::activation("upsample_nearest", "x", x.value);
  const Shape& s = x.shape();
  const Tensor y = check::destination("upsample_nearest", out, {s[0], 2 * s[1], 2 * s[2], s[3]}, x.value);
  dispatch<cpu::upsample_nearest_forward, cuda::upsample_nearest_forward>(x.value.device(), x.value.const_view(),
                                                                          y.view());
  const Var result = tape.output(y, {&x});
  if (!result.wants_gradient()) return result;
  tape.record([&tape, x_id = x.id, y_id = result.id] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dx = tape.gradient_target(x_id);
    dispatch<cpu::upsample_nearest_backward, cuda::upsample_nearest_backward>(dy.device(), dy.const_view(), dx.view());
    tape.add_gradient(x_id, dx);
  });
  return result;
}

}  // namespace unet
