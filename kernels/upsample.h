// Bilinear upsampling by 2, PyTorch's interpolate(scale_factor=2, mode="bilinear", align_corners=...):
//   align_corners: source row = ho * (H - 1) / (2H - 1);   otherwise: source row = max(0, (ho + 0.5) / 2 - 0.5)
// Both directions in gather form (backward: every dx sums the outputs it fed, in a fixed order; no atomics).
// x, dx [N,H,W,C]; y, dy [N,2H,2W,C]; all may be pitched. Nothing is saved.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void upsample_bilinear_forward(ConstView x, bool align_corners, View y);
void upsample_bilinear_backward(ConstView dy, bool align_corners, View dx);

}  // namespace cpu

namespace cuda {

void upsample_bilinear_forward(ConstView x, bool align_corners, View y);
void upsample_bilinear_backward(ConstView dy, bool align_corners, View dx);

}  // namespace cuda
}  // namespace unet::kernels
