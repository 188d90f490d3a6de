// A batch norm with fixed statistics folded into the convolution before it:
//   w'[co,...] = w[co,...] * g[co],   b'[co] = beta[co] - mean[co] * g[co],   g = gamma / sqrt(variance + epsilon)
// weights, folded [Cout,Kh,Kw,Cin]; the others [Cout]. And its half alone: rstd = 1 / sqrt(variance + epsilon).
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void fold_norm(ConstView weights, ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon,
               View folded, View bias);
void inverse_deviation(ConstView variance, double epsilon, View rstd);

}  // namespace cpu

namespace cuda {

/// weights, folded and bias: f32 or bf16 each; the others f32.
void fold_norm(ConstView weights, ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon,
               View folded, View bias);
void inverse_deviation(ConstView variance, double epsilon, View rstd);

}  // namespace cuda
}  // namespace unet::kernels
