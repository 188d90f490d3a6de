// sum of squares of a flat range, in f64 over fixed blocks added in order; not finite as soon as one value is NaN or
// Inf, which makes it the finite check of gradients too (f32 values cannot overflow the sum; f64 values beyond 1e150
// can). x: flat, dense.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

double sum_of_squares(ConstView x);

}  // namespace unet::kernels::cpu
