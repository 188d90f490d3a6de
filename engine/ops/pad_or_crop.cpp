#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/pad.h"

namespace unet {

Var pad_or_crop(Tape& tape, const Var& x, std::int64_t height, std::int64_t width) {
  check::activation("pad_or_crop", "x", x.value);
  if (height < 1 || width < 1) throw Error("pad_or_crop: height and width must be >= 1, got {}x{}", height, width);
  const Shape& s = x.shape();
  if (height == s[1] && width == s[2]) return x;
  const Tensor y = Tensor::empty({s[0], height, width, s[3]}, x.value.dtype(), x.value.device());
  dispatch<cpu::pad_or_crop, cuda::pad_or_crop>(x.value.device(), x.value.const_view(), y.view());
  const Var out = tape.output(y, {&x});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, x_id = x.id, y_id = out.id] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dx = tape.gradient_target(x_id);
    dispatch<cpu::pad_or_crop, cuda::pad_or_crop>(dy.device(), dy.const_view(), dx.view());
    tape.add_gradient(x_id, dx);
  });
  return out;
}

}  // namespace unet
