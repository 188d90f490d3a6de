// Grow or crop at the bottom and the right: y[n,h,w,c] = x[n,h,w,c] inside x, else 0. The backward of a pad is the crop
// and the other way round, so one function serves both. x [N,H,W,C], y [N,H',W',C]; both may be pitched.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void pad_or_crop(ConstView x, View y);

}  // namespace cpu

namespace cuda {

void pad_or_crop(ConstView x, View y);

}  // namespace cuda
}  // namespace unet::kernels
