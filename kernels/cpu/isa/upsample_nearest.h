// Inner loops of nearest upsampling by 2, one row of the small image at a time. Pitches in elements.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

template <class T>
struct NearestRun {
  const T* from;
  T* to;
  std::int64_t from_pitch, to_pitch;
  std::int64_t width, channels;  // of the small image
  bool stream;
};

template <class T>
struct NearestLoops {
  /// Row `row` of x, of all images, into the rows 2 * row and 2 * row + 1 of y; backward the other way round, dy to dx.
  void (*forward)(const NearestRun<T>&, std::int64_t row);
  void (*backward)(const NearestRun<T>&, std::int64_t row);
};

using NearestTable = ByStorage<NearestLoops>;

namespace baseline {
extern const NearestTable nearest_loops;
}
namespace avx2 {
extern const NearestTable nearest_loops;
}
namespace avx512 {
extern const NearestTable nearest_loops;
}

}  // namespace unet::kernels::cpu
