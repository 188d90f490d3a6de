// A transposed convolution is the backward data pass of the convolution that would map y to x, with kernel 2x2 and
// stride 2, and the other two passes follow from that; the weights lie as that convolution's, [Cout,Kh,Kw,Cin].
#include "kernels/conv_transpose.h"

#include <algorithm>

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

void conv_transpose_backward_data(ConstView dy, ConstView weights, View dx, void* scratch) {
  own_conv_forward(kSpec, transposed(dx, dy.c()), dy, weights, {}, dx, scratch);
}

void conv_transpose_backward_weights(ConstView x, ConstView dy, View dweights, void* scratch) {
  own_conv_backward_weights(kSpec, transposed(x, dy.c()), dy, x, dweights, scratch);
}

std::size_t conv_transpose_scratch(ConstView x, std::int64_t Cout) {
  std::size_t bytes = 0;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    bytes = std::max(bytes, own_conv_workspace(pass, kSpec, transposed(x, Cout), x.dtype));
  }
  return bytes;
}

}  // namespace unet::kernels::cpu
