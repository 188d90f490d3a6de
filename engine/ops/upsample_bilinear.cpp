#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/upsample.h"

namespace unet {

Var upsample_bilinear(Tape& tape, const Var& x, bool align_corners, const Tensor& out) {
  check::activation("upsample_bilinear", "x", x.value);
  const Shape& s = x.shape();
  const Tensor y = check::destination("upsample_bilinear", out, {s[0], 2 * s[1], 2 * s[2], s[3]}, x.value);
  dispatch<cpu::upsample_bilinear_forward, cuda::upsample_bilinear_forward>(x.value.device(), x.value.const_view(),
                                                                            align_corners, y.view());
  const Var result = tape.output(y, {&x});
  if (!result.wants_gradient()) return result;
  tape.record([&tape, align_corners, x_id = x.id, y_id = result.id] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dx = tape.gradient_target(x_id);
    dispatch<cpu::upsample_bilinear_backward, cuda::upsample_bilinear_backward>(dy.device(), dy.const_view(),
                                                                                align_corners, dx.view());
    tape.add_gradient(x_id, dx);
  });
  return result;
}

}  // namespace unet
