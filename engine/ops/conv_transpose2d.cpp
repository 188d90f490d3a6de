#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/conv_plans.h"
#include "engine/ops/ops.h"
#include "kernels/conv_transpose.h"

namespace unet {

Var conv_transpose2d(Tape& tape, const Var& x, const Var& weight, const Var& bias, const Tensor& out) {
  const std::string op = check::title("conv_transpose2d", weight);
  check::activation(op, "x", x.value);
  check::dense(op, "x", x.value);
  const Shape& w = weight.shape();
  if (w.rank() != 4 || w[1] != 2 || w[2] != 2) throw Error("{}: weight must be (Cin,2,2,Cout), got {}", op, w.str());
  check::weight(op, weight.value, x.value);
  if (w[0] != x.shape()[3]) {
    throw Error("{}: weight {} (Cin,2,2,Cout) expects Cin={}, but x is {} (N,H,W,C)", op, w.str(), w[0],
                x.shape().str());
  }
  const std::int64_t Cout = w[3];
  if (bias.defined()) {
    check::shape(op, "bias", bias.value, {Cout}, "Cout");
    check::parameter(op, "bias", bias.value, x.value);
  }
  const Shape& s = x.shape();
  const Tensor y = check::destination(op, out, {s[0], 2 * s[1], 2 * s[2], Cout}, x.value);
  const Scratch scratch(
      dispatch<cpu::conv_transpose_scratch, cuda::conv_transpose_scratch>(x.value.device(), x.value.const_view(), Cout),
      x.value.device());
  dispatch<cpu::conv_transpose_forward, cuda::conv_transpose_forward>(
      x.value.device(), x.value.const_view(), weight.value.const_view(), bias.value.const_view(), y.view(),
      scratch.data(), conv_tf32());

  const Var result = tape.output(y, {&x, &weight, &bias});
  if (!result.wants_gradient()) return result;
  tape.record([&tape, kept = Kept(x), x_id = x.id, weight = weight, bias_id = bias.id, y_id = result.id, Cout] {
    const Tensor dy = tape.take_gradient(y_id);
    if (!dy.defined()) return;
    const Tensor input = kept.value();
    const Scratch space(
        dispatch<cpu::conv_transpose_scratch, cuda::conv_transpose_scratch>(dy.device(), input.const_view(), Cout),
        dy.device());
    const Tensor dx = tape.gradient_target(x_id);
    const Tensor dweight = tape.gradient_target(weight.id);
    const Tensor dbias = tape.gradient_target(bias_id);
    dispatch<cpu::conv_transpose_backward, cuda::conv_transpose_backward>(
        dy.device(), input.const_view(), weight.value.const_view(), dy.const_view(), dx.view(), dweight.view(),
        dbias.view(), space.data(), conv_tf32());
    tape.add_gradient(weight.id, dweight);
    tape.add_gradient(bias_id, dbias);
    tape.add_gradient(x_id, dx);
  });
  return result;
}

}  // namespace unet
