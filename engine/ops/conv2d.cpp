#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/conv_plans.h"
#include "engine/ops/ops.h"
#include "kernels/channel_sum.h"

namespace unet {

using kernels::ConvPass;

Var conv2d(Tape& tape, const Var& x, const Var& weight, const Var& bias, const Conv2dOptions& options) {
  const std::string op = check::title("conv2d", weight);
  check::activation(op, "x", x.value);
  const Shape& w = weight.shape();
  if (w.rank() != 4) throw Error("{}: weight must be (Cout,Kh,Kw,Cin), got {}", op, w.str());
  if (options.scale.defined()) {
    check::parameter(op, "weight", weight.value, x.value);
    check::shape(op, "scale", options.scale, {w[0]}, "Cout");
    check::parameter(op, "scale", options.scale, x.value);
  } else {
    check::weight(op, weight.value, x.value);
  }
  if (w[3] != x.shape()[3]) {
    throw Error("{}: weight {} (Cout,Kh,Kw,Cin) expects Cin={}, but x is {} (N,H,W,C)", op, w.str(), w[3],
                x.shape().str());
  }
  if (options.stride < 1 || options.pad < 0) {
    throw Error("{}: stride must be >= 1 and pad >= 0, got {} and {}", op, options.stride, options.pad);
  }
  const bool learns = x.wants_gradient() || weight.wants_gradient() || bias.wants_gradient();
  const auto without_gradient = [&](bool asked, const char* what) {
    if (asked && learns) throw Error("{}: {} conv2d is for what has no gradient", op, what);
  };
  without_gradient(options.scale.defined(), "scale of");
  without_gradient(options.residual.defined(), "residual of");
  without_gradient(options.relu, "relu inside");
  without_gradient(options.out.defined(), "out of");
  kernels::ConvCase c;
  c.spec = {options.stride, options.pad, bias.defined(), options.relu, options.residual.defined()};
  c.shape = {x.shape()[0], x.shape()[1], x.shape()[2], w[3], w[0], w[1], w[2]};
  c.dtype = x.value.dtype();
  if (x.shape()[1] + 2 * options.pad < w[1] || x.shape()[2] + 2 * options.pad < w[2]) {
    throw Error("{}: x {} (N,H,W,C) with pad {} is smaller than the kernel {}x{}", op, x.shape().str(), options.pad,
                w[1], w[2]);
  }
  if (bias.defined()) {
    check::shape(op, "bias", bias.value, {w[0]}, "Cout");
    check::parameter(op, "bias", bias.value, x.value);
  }

  const Shape result{c.shape.N, c.Ho(), c.Wo(), c.shape.Cout};
  if (options.residual.defined()) {
    check::shape(op, "residual", options.residual, result, "N,Ho,Wo,Cout");
    check::alike(op, "residual", options.residual, x.value);
  }

  const Device device = x.value.device();
  const Tensor y = check::destination(op, options.out, result, x.value);
  kernels::ConvOperands operands;
  operands.x = x.value.const_view();
  operands.weights = weight.value.const_view();
  operands.scale = options.scale.const_view();
  operands.bias = bias.value.const_view();
  operands.residual = options.residual.const_view();
  operands.y = y.view();
  run_conv(c, device, operands);

  const Var out = tape.output(y, {&x, &weight, &bias});
  if (!out.wants_gradient()) return out;
  tape.record(
      [&tape, c, device, kept = Kept(x), x_id = x.id, weight = weight, bias_id = bias.id, y_id = out.id]() mutable {
        const Tensor dy = tape.take_gradient(y_id);
        if (!dy.defined()) return;
        c.spec.bias = c.spec.relu = false;
        if (const Tensor dw = tape.gradient_target(weight.id); dw.defined()) {
          const Tensor input = kept.value();
          kernels::ConvOperands grads;
          grads.x = input.const_view();
          grads.dy = dy.const_view();
          grads.dweights = dw.view();
          c.pass = ConvPass::backward_weights;
          run_conv(c, device, grads);
          tape.add_gradient(weight.id, dw);
        }
        if (const Tensor db = tape.gradient_target(bias_id); db.defined()) {
          const Scratch scratch(
              dispatch<cpu::channel_sum_scratch, cuda::channel_sum_scratch>(dy.device(), dy.const_view()), device);
          dispatch<cpu::channel_sum, cuda::channel_sum>(dy.device(), dy.const_view(), db.view(), scratch.data());
          tape.add_gradient(bias_id, db);
        }
        kept = Kept(Var());  // its memory can serve dx
        if (const Tensor dx = tape.gradient_target(x_id); dx.defined()) {
          kernels::ConvOperands grads;
          grads.dy = dy.const_view();
          grads.weights = weight.value.const_view();
          grads.dx = dx.view();
          c.pass = ConvPass::backward_data;
          run_conv(c, device, grads);
          tape.add_gradient(x_id, dx);
        }
      });
  return out;
}

}  // namespace unet
