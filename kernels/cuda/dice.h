// Dice of a class from its sums s = (sum p*t, sum p, sum t), and its derivative with respect to p: slope * t + offset.
#pragma once

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {

__device__ inline double dice_of(const double* s, double smooth) {
  const double denominator = s[1] + s[2] + smooth;
  return denominator == 0 ? 1 : (2 * s[0] + smooth) / denominator;
}

struct DiceSlope {
  double slope, offset;
};

/// Times `share`.
__device__ inline DiceSlope dice_slope(const double* s, double smooth, double share) {
  const double denominator = s[1] + s[2] + smooth;
  if (denominator == 0) return {0, 0};
  return {share * 2 / denominator, -share * (2 * s[0] + smooth) / (denominator * denominator)};
}

}  // namespace unet::kernels::cuda
