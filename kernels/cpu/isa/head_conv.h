// Inner loops of kernels/head_conv.h, one row of pixels at a time, counted over all images. All operands are dense.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// The operands; null: absent.
template <class T>
struct HeadConvRun {
  using A = Compute<T>;

  std::int64_t height, width, channels, outputs;
  const T* x;
  const A *weights, *bias, *dy;
  A* y;
  T* dx;
  bool stream_dx;
};

template <class T>
struct HeadConvLoops {
  void (*forward)(const HeadConvRun<T>&, std::int64_t row);
  /// Writes a row of dx and adds what dy's row gives to dweights [K][3][3][C], which may be null.
  void (*backward)(const HeadConvRun<T>&, std::int64_t row, double* dweights);
};

using HeadConvTable = ByStorage<HeadConvLoops>;

namespace baseline {
extern const HeadConvTable head_conv_loops;
}
namespace avx2 {
extern const HeadConvTable head_conv_loops;
}
namespace avx512 {
extern const HeadConvTable head_conv_loops;
}

}  // namespace unet::kernels::cpu
