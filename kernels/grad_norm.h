// Sum of squares of a flat range, in f64 over fixed blocks added in order; not finite as soon as one value is NaN or
// Inf, which makes it the finite check of gradients too (f32 values cannot overflow the sum; f64 values beyond 1e150
// can).
#pragma once

#include "kernels/ranges.h"

namespace unet::kernels {

/// In memory of the device.
struct SquareSum {
  double sum = 0;
  std::int64_t first_bad = -1;  // the first element that is NaN or Inf; -1: none
};

namespace cpu {

/// x: one part, f32 or f64.
void sum_of_squares(const Ranges& x, SquareSum* out, void* scratch);
/// Bytes of scratch, 64-byte aligned.
std::size_t sum_of_squares_scratch(const Ranges& x);

}  // namespace cpu

namespace cuda {

/// Each part f32 or bf16.
void sum_of_squares(const Ranges& x, SquareSum* out, void* scratch);
std::size_t sum_of_squares_scratch(const Ranges& x);

}  // namespace cuda
}  // namespace unet::kernels
