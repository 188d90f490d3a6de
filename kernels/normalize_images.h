// y[n,h,w,c] = (images[n,h,w,c] / 255 - mean[c]) / deviation[c] for c < channels of images; further channels of y are 0
// (a device may want channels padded). images u8 [N,H,W,Cin] dense; y f32, f64 or bf16 [N,H,W,C], C >= Cin. No
// gradient.
#pragma once

#include <vector>

#include "kernels/view.h"

namespace unet::kernels {

struct NormalizeSpec {
  std::vector<float> mean;       // one per channel of the images
  std::vector<float> deviation;  // likewise, > 0
};

namespace cpu {

void normalize_images(const NormalizeSpec& spec, ConstView images, View y);

}  // namespace cpu

namespace cuda {

void normalize_images(const NormalizeSpec& spec, ConstView images, View y);

}  // namespace cuda
}  // namespace unet::kernels
