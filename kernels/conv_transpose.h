// Transposed convolution, kernel 2x2, stride 2, no overlap (the "up-convolution" of Ronneberger et al. 2015, figure 1):
//
//   y[n, 2h+i, 2w+j, co] = bias[co] + sum_ci x[n,h,w,ci] * weights[ci,i,j,co]
//
// That is one matrix product X[N*H*W, Cin] * Wm[Cin, 4*Cout] whose rows are shuffled into 2x2 blocks of pixels.
// x [N,H,W,Cin] dense; weights [Cin,2,2,Cout] dense (PyTorch's [Cin,Cout,2,2] with the channels moved last);
// y and dy [N,2H,2W,Cout] may be pitched (a slice of the concatenated tensor). Saved for backward: x.
// Activations f32, f64 or bf16; weights, their gradient and bias f64 beside f64, else f32. tf32: f32 products may round
// their operands to TF32 (10 bits) on CUDA; the CPU never does.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

/// bias [Cout] or empty. scratch: conv_transpose_scratch bytes, 64-byte aligned.
void conv_transpose_forward(ConstView x, ConstView weights, ConstView bias, View y, void* scratch, bool tf32 = false);
/// dx [N,H,W,Cin], dweights [Cin,2,2,Cout], dbias [Cout]: any may be empty, it is not wanted; the others are
/// overwritten. Sums over pixels are cut by the shape alone and added in a fixed order.
void conv_transpose_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                             void* scratch, bool tf32 = false);
/// Bytes of scratch for either. x as above (its data is not read); Cout channels out.
std::size_t conv_transpose_scratch(ConstView x, std::int64_t Cout);

}  // namespace cpu

namespace cuda {

/// As above, but that weights have the dtype of x; dweights have that or f32, bias and dbias are f32. dy is read once.
/// Throws std::runtime_error if cuBLASLt is missing.
void conv_transpose_forward(ConstView x, ConstView weights, ConstView bias, View y, void* scratch, bool tf32 = false);
void conv_transpose_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                             void* scratch, bool tf32 = false);
std::size_t conv_transpose_scratch(ConstView x, std::int64_t Cout);

}  // namespace cuda
}  // namespace unet::kernels
