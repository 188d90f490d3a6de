// sum of squares of a flat range, in f64 over fixed blocks added in order; not finite as soon as one value is NaN or
// Inf, which makes it the finite check of gradients too.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

double sum_of_squares(ConstView x);

}  // namespace unet::kernels::cpu
