// A transposed convolution is the backward data pass of the convolution that would map y to x, with kernel 2x2 and
// stride 2, and the other two passes follow from that; the weights lie as that convolution's, [Cout,Kh,Kw,Cin].
#include "kernels/conv_transpose.h"

#include <algorithm>

#include "kernels/channel_sum.h"
#include "kernels/cpu/own_conv.h"

namespace unet::kernels::cpu {
namespace {

constexpr ConvSpec kSpec{2, 0, false, false};

/// The shape of the convolution from y [N,2H,2W,Cout] to x [N,H,W,Cin].
ConvShape transposed(const Extent& x, std::int64_t Cout) { return {x.n(), 2 * x.h(), 2 * x.w(), Cout, x.c(), 2, 2}; }

}  // namespace

void conv_transpose_forward(ConstView x, ConstView weights, ConstView bias, View y, void* scratch) {
  own_conv_backward_data(kSpec, transposed(x, y.c()), x, weights, bias, y, scratch);
}

void conv_transpose_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                             void* scratch) {
  const ConvShape shape = transposed(x, dy.c());
  if (dweights) own_conv_backward_weights(kSpec, shape, dy, x, dweights, scratch);
  if (dbias) channel_sum(dy, dbias, scratch);
  if (dx) own_conv_forward(kSpec, shape, dy, weights, {}, dx, scratch);
}

std::size_t conv_transpose_scratch(ConstView x, std::int64_t Cout) {
  ConstView dy = x;
  dy.dims = {x.n(), 2 * x.h(), 2 * x.w(), Cout};
  std::size_t bytes = channel_sum_scratch(dy);
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    bytes = std::max(bytes, own_conv_workspace(pass, kSpec, transposed(x, Cout), x.dtype));
  }
  return bytes;
}

}  // namespace unet::kernels::cpu
