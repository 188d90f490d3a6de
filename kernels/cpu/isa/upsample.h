// Inner loop of resampling with few taps along each axis: out[h,w,c] = sum over i, j of
// rows.weight[i] * columns[w].weight[j] * in[rows.first + i, columns[w].first + j, c], in the order of i, then j.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// Which inputs make one output, along one axis.
template <class A>
struct Taps {
  static constexpr int most = 6;
  std::int64_t first;
  std::int64_t count;
  A weight[most];
};

template <class T>
struct ResampleRun {
  const T* in;  // the image's first pixel
  T* out;       // the output row's first pixel
  std::int64_t in_pitch, out_pitch, in_width, channels;
  bool stream;
};

template <class T>
struct ResampleLoops {
  /// Outputs [first, first + count) of a row; columns[0] belongs to the first.
  void (*row)(const ResampleRun<T>&, const Taps<Compute<T>>& rows, const Taps<Compute<T>>* columns, std::int64_t first,
              std::int64_t count);
};

using ResampleTable = ByStorage<ResampleLoops>;

namespace baseline {
extern const ResampleTable resample_loops;
}
namespace avx2 {
extern const ResampleTable resample_loops;
}
namespace avx512 {
extern const ResampleTable resample_loops;
}

}  // namespace unet::kernels::cpu
