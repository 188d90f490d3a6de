#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/channel_sum.h"
#include "kernels/head_conv.h"

namespace unet {

Var head_conv2d(Tape& tape, const Var& x, const Var& weight, const Var& bias) {
  const std::string op = check::title("head_conv2d", weight);
  check::activation(op, "x", x.value);
  check::dense(op, "x", x.value);
  const Shape& w = weight.shape();
  if (w.rank() != 4 || w[1] != 3 || w[2] != 3) throw Error("{}: weight must be (K,3,3,C), got {}", op, w.str());
  check::parameter(op, "weight", weight.value, x.value);
  if (w[3] != x.shape()[3]) {
    throw Error("{}: weight {} (K,3,3,C) expects C={}, but x is {} (N,H,W,C)", op, w.str(), w[3], x.shape().str());
  }
  const std::int64_t K = w[0];
  if (bias.defined()) {
    check::shape(op, "bias", bias.value, {K}, "K");
    check::parameter(op, "bias", bias.value, x.value);
  }
  const Shape& s = x.shape();
  const Tensor y = Tensor::empty({s[0], s[1], s[2], K}, weight.value.dtype(), x.value.device());
  dispatch<cpu::head_conv_forward, cuda::head_conv_forward>(
      x.value.device(), x.value.const_view(), weight.value.const_view(), bias.value.const_view(), y.view());

  const Var result = tape.output(y, {&x, &weight, &bias});
  if (!result.wants_gradient()) return result;
  tape.record([&tape, kept = Kept(x), x_id = x.id, weight = weight, bias_id = bias.id, y_id = result.id, K] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor dense_dy = dy.dense() ? dy : dy.clone();
    const Device device = dy.device();
    if (const Tensor dbias = tape.gradient_target(bias_id); dbias.defined()) {
      const Scratch scratch(
          dispatch<cpu::channel_sum_scratch, cuda::channel_sum_scratch>(device, dense_dy.const_view()), device);
      dispatch<cpu::channel_sum, cuda::channel_sum>(device, dense_dy.const_view(), dbias.view(), scratch.data());
      tape.add_gradient(bias_id, dbias);
    }
    const Tensor dx = tape.gradient_target(x_id), dweight = tape.gradient_target(weight.id);
    if (!dx.defined() && !dweight.defined()) return;
    const Tensor input = kept.value();
    const Scratch scratch(dispatch<cpu::head_conv_scratch, cuda::head_conv_scratch>(device, input.const_view(), K),
                          device);
    dispatch<cpu::head_conv_backward, cuda::head_conv_backward>(device, input.const_view(), weight.value.const_view(),
                                                                dense_dy.const_view(), dx.view(), dweight.view(),
                                                                scratch.data());
    tape.add_gradient(weight.id, dweight);
    tape.add_gradient(x_id, dx);
  });
  return result;
}

}  // namespace unet
