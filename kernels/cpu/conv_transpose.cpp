// A transposed convolution is the backward data pass of the convolution that would map y to x, with kernel 2x2 and
// stride 2, and the other two passes follow from that; the weights lie as that convolution's, [Cout,Kh,Kw,Cin].
#include "kernels/conv_transpose.h"

#include <algorithm>

#include "kernels/channel_sum.h"
#include "kernels/cpu/own_conv.h"

namespace unet::kernels::cpu {
namespace {

/// A pass of the convolution from y [N,2H,2W,Cout] to x [N,H,W,Cin].
ConvCase transposed(ConvPass pass, const Extent& x, std::int64_t Cout, bool bias = false) {
  return {pass, {.stride = 2, .bias = bias}, {x.n(), 2 * x.h(), 2 * x.w(), Cout, x.c(), 2, 2}, x.dtype};
}

}  // namespace

void conv_transpose_forward(ConstView x, ConstView weights, ConstView bias, View y, void* scratch, bool) {
  ConvOperands io;
  io.dy = x;
  io.weights = weights;
  io.bias = bias;
  io.dx = y;
  own_conv(transposed(ConvPass::backward_data, x, y.c(), bool(bias)), io, scratch);
}

void conv_transpose_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                             void* scratch, bool) {
  ConvOperands io;
  io.x = dy;
  io.dy = x;
  io.weights = weights;
  io.dweights = dweights;
  io.y = dx;
  if (dweights) own_conv(transposed(ConvPass::backward_weights, x, dy.c()), io, scratch);
  if (dbias) channel_sum(dy, dbias, scratch);
  if (dx) own_conv(transposed(ConvPass::forward, x, dy.c()), io, scratch);
}

std::size_t conv_transpose_scratch(ConstView x, std::int64_t Cout) {
  ConstView dy = x;
  dy.dims = {x.n(), 2 * x.h(), 2 * x.w(), Cout};
  std::size_t bytes = channel_sum_scratch(dy);
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    bytes = std::max(bytes, own_conv_workspace(transposed(pass, x, Cout)));
  }
  return bytes;
}

}  // namespace unet::kernels::cpu
