#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var max_pool2d(Tape& tape, const Var& x, const kernels::PoolSpec& spec) {
  check::activation("max_pool2d", "x", x.value);
  if (spec != kernels::PoolSpec{2, 2, 0} && spec != kernels::PoolSpec{3, 2, 1}) {
    throw Error("max_pool2d: kernel {}, stride {}, pad {}; there are 2, 2, 0 and 3, 2, 1", spec.kernel, spec.stride,
                spec.pad);
  }
  const Shape& s = x.shape();
  const std::int64_t least = spec.kernel - 2 * spec.pad;
  if (s[1] < least || s[2] < least) {
    throw Error("max_pool2d: x must have at least 2x2 pixels, got {} (N,H,W,C)", s.str());
  }
  const Tensor y =
      Tensor::empty({s[0], spec.outputs(s[1]), spec.outputs(s[2]), s[3]}, x.value.dtype(), x.value.device());
  dispatch<cpu::max_pool_forward, cuda::max_pool_forward>(x.value.device(), spec, x.value.const_view(), y.view());
  const Var out = tape.output(y, {&x});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, spec, x = x.value, x_id = x.id, y_id = out.id] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dx = tape.gradient_target(x_id);
    dispatch<cpu::max_pool_backward, cuda::max_pool_backward>(dy.device(), spec, x.const_view(), dy.const_view(),
                                                              dx.view());
    tape.add_gradient(x_id, dx);
  });
  return out;
}

}  // namespace unet
