// The softmax of a pixel whose largest logit is left out of the sum, so that small losses keep their digits.
#pragma once

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {

/// The place of the first largest of x[0..C), a NaN if there is one, and s, the sum of e^(x_c - largest) over the
/// others.
struct Softmax {
  int at;
  float largest, rest;
};

__device__ inline Softmax softmax_of(const float* x, int C) {
  Softmax out{0, x[0], 0};
  for (int c = 1; c < C; ++c) {
    if (!(x[c] <= out.largest) && !isnan(out.largest)) {
      out.largest = x[c];
      out.at = c;
    }
  }
  for (int c = 0; c < C; ++c) {
    if (c != out.at) out.rest += expf(x[c] - out.largest);
  }
  return out;
}

}  // namespace unet::kernels::cuda
