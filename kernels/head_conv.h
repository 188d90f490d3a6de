// The 3x3 convolution, stride 1, border 1, that turns features into the logits of a few classes at full resolution.
//
//   y[h,w,k] = bias[k] + sum over i, j, c of x[h+i-1, w+j-1, c] * weights[k,i,j,c], beyond the image 0
//   dx[h,w,c] = sum over i, j, k of dy[h-i+1, w-j+1, k] * weights[k,i,j,c]
//   dweights[k,i,j,c] = sum over h, w of dy[h,w,k] * x[h+i-1, w+j-1, c]
//
// The gradient of the bias is channel_sum's. With few channels C and outputs K the passes are bound by memory or little
// beyond it, so each of forward and backward reads x once. Any C, K >= 1. x, dx [N,H,W,C]; weights, dweights [K,3,3,C];
// bias [K]; y, dy [N,H,W,K]; all dense. x and dx: f64, f32 or bf16; everything else f64 where x is, else f32 (logits
// and parameters are never bf16). Products and sums over i, j, c and k in f32 (f64); sums over pixels in short runs of
// f32, then in f64 over blocks that the shape alone cuts, added in order.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

/// bias may be empty.
void head_conv_forward(ConstView x, ConstView weights, ConstView bias, View y);
/// Any of dx and dweights may be empty: it is not wanted. The other is overwritten.
/// scratch: head_conv_scratch bytes, 64-byte aligned.
void head_conv_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, void* scratch);
/// Bytes of scratch for backward. x as above, K outputs.
std::size_t head_conv_scratch(ConstView x, std::int64_t K);

}  // namespace cpu

namespace cuda {

void head_conv_forward(ConstView x, ConstView weights, ConstView bias, View y);
void head_conv_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, void* scratch);
std::size_t head_conv_scratch(ConstView x, std::int64_t K);

}  // namespace cuda
}  // namespace unet::kernels
