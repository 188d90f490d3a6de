// Inner loops of norm_act. One call handles a stretch of pixels, or two rows of them together with their 2x2 pool.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// The operands of kernels/norm_act.h, each with its pitch in elements; null: absent.
template <class T>
struct NormActRun {
  using A = Compute<T>;

  std::int64_t channels;
  const A *gamma, *beta, *mean, *rstd;
  A floor;  // z below it becomes it: 0 for ReLU, NaN (below which nothing lies) without
  const T *x, *residual, *dy, *dpooled;
  T *y, *pooled, *dx, *dresidual;
  std::int64_t x_pitch, residual_pitch, dy_pitch, dpooled_pitch;
  std::int64_t y_pitch, pooled_pitch, dx_pitch, dresidual_pitch;
  std::int64_t dy_ahead;              // elements from what is read to what is prefetched
  const A *dbeta_mean, *dgamma_mean;  // dbeta/M and dgamma/M, [C]; for apply
  bool stream_y, stream_dx;
};

/// Two rows: pixels first + [0, width) and first + width + [0, width), their pool at pooled + [0, width/2).
/// One row: pixels first + [0, width), without pool.
struct NormActRows {
  std::int64_t first, width, rows, pooled;
};

/// Sums over one block, [C] each, in f64, with work space for short runs in the computing type.
template <class T>
struct NormActSums {
  double *first, *second;
  Compute<T>*run_first, *run_second, *shift, *origin;
};

template <class T>
struct NormActLoops {
  /// x's mean and sum of squared deviations from it, over `pixels` pixels from `first` on. Overwrites the sums.
  void (*moments)(const NormActRun<T>& run, std::int64_t first, std::int64_t pixels, const NormActSums<T>& sums);
  void (*forward)(const NormActRun<T>& run, const NormActRows& rows);
  /// Adds sum dz and sum dz*xhat to the sums.
  void (*reduce)(const NormActRun<T>& run, const NormActRows& rows, const NormActSums<T>& sums);
  void (*apply)(const NormActRun<T>& run, const NormActRows& rows);
};

using NormActTable = ByStorage<NormActLoops>;

namespace baseline {
extern const NormActTable norm_act_loops;
}
namespace avx2 {
extern const NormActTable norm_act_loops;
}
namespace avx512 {
extern const NormActTable norm_act_loops;
}

}  // namespace unet::kernels::cpu
