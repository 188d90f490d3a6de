// Our own convolution, "own:gemm": an implicit matrix product for any kernel size, stride, padding and channel count,
// activations in f32, f64 or bf16 (summed in f32, rounded once when a result is complete). Shapes and formula as in
// kernels/conv_plan.h; here all activations may be pitched, and the backward data pass takes a bias, so that the
// transposed convolution is the same code.
//
//   forward           y[m, co]       = sum_k im2col(x)[m, k] * weights[co, k]        k = (kh, kw, ci), m = (n, ho, wo)
//   backward data     dx[m, ci]      = sum_k gather(dy)[m, k] * weights[k, ci]       k = (kh, kw, co), m = (n, h, w)
//   backward weights  dweights[co,k] = sum_m dy[m, co] * im2col(x)[m, k]
//
// Backward data is taken apart into stride*stride phases, the pixels with equal (h % stride, w % stride): the taps that
// reach a phase are the same for all its pixels, so nothing is multiplied with zeros in between. Backward weights cuts
// the long sum over m by the shape alone and adds the parts in order. So all results are the same byte for byte for any
// number of threads.
#pragma once

#include "kernels/conv_plan.h"

namespace unet::kernels::cpu {

/// Bytes of workspace, to be 64-byte aligned.
std::size_t own_conv_workspace(const ConvCase& c);

/// One pass. spec.bias: io.bias [Cout] is added to y, or [Cin] to dx; spec.relu and spec.residual are obeyed in the
/// forward pass.
void own_conv(const ConvCase& c, const ConvOperands& io, void* workspace);

}  // namespace unet::kernels::cpu
