// A batch norm with fixed statistics as what a convolution before it does besides:
//   scale[co] = gamma / sqrt(variance + epsilon),   bias[co] = beta - mean * scale
// All [C]; f32 beside f32 and bf16 activations, on the CPU also f64. A convolution that cannot scale its results reads
// scaled filters: scaled[co,...] = filters[co,...] * scale[co], both [Cout,Kh,Kw,Cin]. And the norm's half alone:
// rstd = 1 / sqrt(variance + epsilon).
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void fold_norm(ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon, View scale,
               View bias);
/// All of one dtype, f32 or f64.
void scale_filters(ConstView filters, ConstView scale, View scaled);
void inverse_deviation(ConstView variance, double epsilon, View rstd);

}  // namespace cpu

namespace cuda {

void fold_norm(ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon, View scale,
               View bias);
/// filters and scaled: f32 or bf16 each.
void scale_filters(ConstView filters, ConstView scale, View scaled);
void inverse_deviation(ConstView variance, double epsilon, View rstd);

}  // namespace cuda
}  // namespace unet::kernels
