// Sums of squares of a flat range, in f64, one for each of its blocks, which the size alone cuts; decide()
// (step_control.h) adds them in order. Not finite as soon as one value is NaN or Inf, which makes it the finite check
// of gradients too (f32 values cannot overflow the sum; f64 values beyond 1e150 can).
#pragma once

#include "kernels/ranges.h"

namespace unet::kernels {

/// In memory of the device.
struct SquareSum {
  double sum = 0;
  std::int64_t first_bad = -1;  // the first element of the range that is NaN or Inf; -1: none in this block
};

/// `count` of them behind one another.
struct SquareSums {
  const SquareSum* of = nullptr;
  std::int64_t count = 0;
};

namespace cpu {

/// x: one part, f32 or f64. sums: [square_sums(x)], overwritten.
void sum_of_squares(const Ranges& x, SquareSum* sums);
std::int64_t square_sums(const Ranges& x);

}  // namespace cpu

namespace cuda {

/// x: each part f32 or bf16.
void sum_of_squares(const Ranges& x, SquareSum* sums);
std::int64_t square_sums(const Ranges& x);

}  // namespace cuda
}  // namespace unet::kernels
