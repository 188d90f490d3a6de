// Inner loops of the max-pools. Pitches in elements.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

template <class T>
struct MaxPoolRun {
  const T *x, *dy;
  T *y, *dx;
  std::int64_t x_pitch, dy_pitch, y_pitch, dx_pitch;
  std::int64_t height, width, channels;  // of x
  bool stream_dx;
};

template <class T>
struct MaxPoolLoops {
  /// 2x2: windows over x's rows at pixels first and first + width, into the row of y (of dy) at pixel `pooled`.
  void (*forward)(const MaxPoolRun<T>&, std::int64_t first, std::int64_t pooled);
  void (*backward)(const MaxPoolRun<T>&, std::int64_t first, std::int64_t pooled);
  /// 3x3: rows [begin, end) of y, of all images; backward writes the two rows of x round whose upper one each of these
  /// windows is centred.
  void (*forward_overlapping)(const MaxPoolRun<T>&, std::int64_t begin, std::int64_t end);
  void (*backward_overlapping)(const MaxPoolRun<T>&, std::int64_t begin, std::int64_t end);
};

using MaxPoolTable = ByStorage<MaxPoolLoops>;

namespace baseline {
extern const MaxPoolTable max_pool_loops;
}
namespace avx2 {
extern const MaxPoolTable max_pool_loops;
}
namespace avx512 {
extern const MaxPoolTable max_pool_loops;
}

}  // namespace unet::kernels::cpu
