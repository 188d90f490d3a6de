// A matrix product for every pixel: the 1x1 convolution that turns features into the logits of a few classes.
//
//   y[p,k] = bias[k] + sum_c x[p,c] * weights[k,c]
//   dx[p,c] = sum_k dy[p,k] * weights[k,c],   dweights[k,c] = sum_p dy[p,k] * x[p,c],   dbias[k] = sum_p dy[p,k]
//
// With few outputs K this is bound by memory, so each of forward and backward reads x (and dy) once. Any K >= 1.
// x, dx [N,H,W,C]; weights, dweights [K,1,1,C]; bias, dbias [K]; y, dy [N,H,W,K]; all dense. x and dx: f64, f32 or
// bf16; everything else f64 where x is, else f32 (logits and parameters are never bf16). Products and sums over c and k
// in f32 (f64); sums over pixels in short runs of f32, then in f64 over blocks that the shape alone cuts, added in
// order.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

/// bias may be empty.
void pixel_linear_forward(ConstView x, ConstView weights, ConstView bias, View y);
/// Any of dx, dweights, dbias may be empty: it is not wanted. The others are overwritten. dx may be x itself.
/// scratch: pixel_linear_scratch bytes, 64-byte aligned.
void pixel_linear_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                           void* scratch);
/// Bytes of scratch for backward. x as above, K outputs.
std::size_t pixel_linear_scratch(ConstView x, std::int64_t K);

}  // namespace cpu

namespace cuda {

void pixel_linear_forward(ConstView x, ConstView weights, ConstView bias, View y);
void pixel_linear_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                           void* scratch);
std::size_t pixel_linear_scratch(ConstView x, std::int64_t K);

}  // namespace cuda
}  // namespace unet::kernels
