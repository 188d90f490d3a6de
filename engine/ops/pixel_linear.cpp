#include "kernels/pixel_linear.h"

#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var pixel_linear(Tape& tape, const Var& x, const Var& weight, const Var& bias) {
  const std::string op = check::title("pixel_linear", weight);
  check::activation(op, "x", x.value);
  check::dense(op, "x", x.value);
  const Shape& w = weight.shape();
  if (w.rank() != 4 || w[1] != 1 || w[2] != 1) throw Error("{}: weight must be (K,1,1,C), got {}", op, w.str());
  check::parameter(op, "weight", weight.value, x.value);
  if (w[3] != x.shape()[3]) {
    throw Error("{}: weight {} (K,1,1,C) expects C={}, but x is {} (N,H,W,C)", op, w.str(), w[3], x.shape().str());
  }
  const std::int64_t K = w[0];
  if (bias.defined()) {
    check::shape(op, "bias", bias.value, {K}, "K");
    check::parameter(op, "bias", bias.value, x.value);
  }
  const Shape& s = x.shape();
  const Tensor y = Tensor::empty({s[0], s[1], s[2], K}, weight.value.dtype(), x.value.device());
  dispatch<cpu::pixel_linear_forward, cuda::pixel_linear_forward>(
      x.value.device(), x.value.const_view(), weight.value.const_view(), bias.value.const_view(), y.view());

  const Var result = tape.output(y, {&x, &weight, &bias});
  if (!result.wants_gradient()) return result;
  tape.record([&tape, kept = Kept(x), x_id = x.id, weight = weight, bias_id = bias.id, y_id = result.id, K]() mutable {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dense_dy = dy.dense() ? dy : dy.clone();
    const Tensor input = kept.take();
    const Tensor dx = tape.gradient_target(x_id, input);
    const Tensor dweight = tape.gradient_target(weight.id);
    const Tensor dbias = tape.gradient_target(bias_id);
    const Scratch scratch(
        dispatch<cpu::pixel_linear_scratch, cuda::pixel_linear_scratch>(dy.device(), input.const_view(), K),
        dy.device());
    dispatch<cpu::pixel_linear_backward, cuda::pixel_linear_backward>(
        dy.device(), input.const_view(), weight.value.const_view(), dense_dy.const_view(), dx.view(), dweight.view(),
        dbias.view(), scratch.data());
    tape.add_gradient(weight.id, dweight);
    tape.add_gradient(bias_id, dbias);
    tape.add_gradient(x_id, dx);
  });
  return result;
}

}  // namespace unet
