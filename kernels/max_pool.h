// Max-pool over windows of 2x2 with stride 2, where an odd last row or column is dropped, or of 3x3 with stride 2 and a
// border of 1 that never wins; both as PyTorch has them. The winner is the first maximum in scan order; NaN wins (of
// several, the last). Backward recomputes the winners from x: nothing else is saved. Where windows overlap an element
// of dx is the sum of up to four of dy, added in scan order in f32 (f64). x, dx [N,H,W,C]; y, dy [N,Ho,Wo,C] with
// Ho = spec.outputs(H); all may be pitched.
#pragma once

#include <stdexcept>

#include "kernels/view.h"

namespace unet::kernels {

/// {2, 2, 0} or {3, 2, 1}; there are no kernels for others.
struct PoolSpec {
  std::int64_t kernel = 2;
  std::int64_t stride = 2;
  std::int64_t pad = 0;

  bool operator==(const PoolSpec&) const = default;
  /// Windows along an axis of `size` >= 1 pixels; none where not even one fits.
  std::int64_t outputs(std::int64_t size) const { return (size + 2 * pad - kernel + stride) / stride; }
};

/// False for {2, 2, 0}, true for {3, 2, 1}; throws std::logic_error for any other, as do the functions below.
inline bool overlapping(const PoolSpec& spec) {
  if (spec == PoolSpec{2, 2, 0}) return false;
  if (spec == PoolSpec{3, 2, 1}) return true;
  throw std::logic_error("max_pool: windows are 2x2 with stride 2 or 3x3 with stride 2 and a border of 1");
}

namespace cpu {

void max_pool_forward(const PoolSpec& spec, ConstView x, View y);
/// dx is overwritten, zeros in dropped rows and columns included.
void max_pool_backward(const PoolSpec& spec, ConstView x, ConstView dy, View dx);

}  // namespace cpu

namespace cuda {

void max_pool_forward(const PoolSpec& spec, ConstView x, View y);
void max_pool_backward(const PoolSpec& spec, ConstView x, ConstView dy, View dx);

}  // namespace cuda
}  // namespace unet::kernels
