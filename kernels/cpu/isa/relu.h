// Inner loops of relu: over `pixels` pixels of `channels` channels, from pixel `first` on. Pitches in elements.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

template <class T>
struct ReluRun {
  const T *from, *dy;  // x; or y and dy for backward
  T* to;               // y; or dx for backward
  std::int64_t from_pitch, dy_pitch, to_pitch;
  bool stream;
};

template <class T>
struct ReluLoops {
  void (*forward)(const ReluRun<T>&, std::int64_t first, std::int64_t pixels, std::int64_t channels);
  void (*backward)(const ReluRun<T>&, std::int64_t first, std::int64_t pixels, std::int64_t channels);
};

using ReluTable = ByStorage<ReluLoops>;

namespace baseline {
extern const ReluTable relu_loops;
}
namespace avx2 {
extern const ReluTable relu_loops;
}
namespace avx512 {
extern const ReluTable relu_loops;
}

}  // namespace unet::kernels::cpu
