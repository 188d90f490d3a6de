// Nearest upsampling by 2, PyTorch's interpolate(scale_factor=2, mode="nearest"): y[n,h,w] = x[n,h/2,w/2]. Backward:
// every element of dx is the sum of the four of dy that it became, ((0,0) + (0,1)) + ((1,0) + (1,1)) in f32 (f64).
// x, dx [N,H,W,C]; y, dy [N,2H,2W,C]; all may be pitched. Nothing is saved.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void upsample_nearest_forward(ConstView x, View y);
void upsample_nearest_backward(ConstView dy, View dx);

}  // namespace cpu

namespace cuda {

void upsample_nearest_forward(ConstView x, View y);
void upsample_nearest_backward(ConstView dy, View dx);

}  // namespace cuda
}  // namespace unet::kernels
