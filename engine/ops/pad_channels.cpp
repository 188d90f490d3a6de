#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/elementwise.h"

namespace unet {

Var pad_channels(Tape& tape, const Var& x, std::int64_t channels) {
  check::activation("pad_channels", "x", x.value);
  const Shape& s = x.shape();
  const std::int64_t C = s[3];
  if (channels < C) throw Error("pad_channels: {} channels asked for, x is {}", channels, s.str());
  if (channels == C) return x;
  const Device device = x.value.device();
  const Tensor y = Tensor::empty({s[0], s[1], s[2], channels}, x.value.dtype(), device);
  dispatch<cpu::fill, cuda::fill>(device, y.view(), 0.0);
  dispatch<cpu::copy, cuda::copy>(device, x.value.const_view(), y.slice(0, C).view());
  const Var out = tape.output(y, {&x});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, C, x_id = x.id, y_id = out.id] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dx = tape.gradient_target(x_id);
    dispatch<cpu::copy, cuda::copy>(dy.device(), dy.slice(0, C).const_view(), dx.view());
    tape.add_gradient(x_id, dx);
  });
  return out;
}

}  // namespace unet
