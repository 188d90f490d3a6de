// What the forward pass of a convolution and each phase of its backward data pass are.
#pragma once

#include "kernels/cpu/isa/conv_pack.h"

namespace unet::kernels::cpu {

/// C[m, j] = sum_k gather[m, k] * B[k, j], where row m = (n, gh, gw) goes to pixel (n, gh*out_step + out_h, ...) of
/// out.
template <class T>
struct GridProduct {
  using A = Compute<T>;

  Gather<T> rows;
  std::int64_t N, cols;
  // Weight of tap (i, j), channel c, column col: w[tap0 + i*tap_i + j*tap_j + c*stride_c + col*stride_col].
  const A* w;
  std::int64_t tap0, tap_i, tap_j, stride_c, stride_col;
  const A* bias;
  const T* residual;  // of row m at residual + m*residual_pitch; or null
  std::int64_t residual_pitch;
  bool relu;
  T* out;
  std::int64_t out_H, out_W, out_pitch, out_step, out_h, out_w;

  std::int64_t pixels() const { return N * rows.grid_h * rows.grid_w; }
  std::int64_t depth() const { return rows.taps_h * rows.taps_w * rows.C; }
};

}  // namespace unet::kernels::cpu
