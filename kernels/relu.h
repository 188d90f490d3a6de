// y = max(x, 0); relu(NaN) = NaN. Gradient at 0 is 0, through NaN it passes. Backward needs y only. All may be pitched.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void relu_forward(ConstView x, View y);
void relu_backward(ConstView y, ConstView dy, View dx);

}  // namespace cpu

namespace cuda {

void relu_forward(ConstView x, View y);
void relu_backward(ConstView y, ConstView dy, View dx);

}  // namespace cuda
}  // namespace unet::kernels
