// Dice of a class from its sums s = (sum p*t, sum p, sum t), and its derivative with respect to p: slope * t + offset.
#pragma once

namespace unet::kernels::cpu {

inline double dice_of(const double* s, double smooth) {
  const double denominator = s[1] + s[2] + smooth;
  return denominator == 0 ? 1 : (2 * s[0] + smooth) / denominator;
}

struct DiceSlope {
  double slope = 0, offset = 0;
};

/// Times `share`.
inline DiceSlope dice_slope(const double* s, double smooth, double share) {
  const double denominator = s[1] + s[2] + smooth;
  if (denominator == 0) return {};
  return {share * 2 / denominator, -share * (2 * s[0] + smooth) / (denominator * denominator)};
}

}  // namespace unet::kernels::cpu
