// Inner loops of kernels/pixel_linear.h, over pixels [first, first + pixels). All operands are dense.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// The operands; null: absent.
template <class T>
struct PixelLinearRun {
  using A = Compute<T>;

  std::int64_t channels, outputs;
  const T* x;
  const A *weights, *bias, *dy;
  A* y;
  T* dx;
  bool stream_dx;
};

template <class T>
struct PixelLinearLoops {
  void (*forward)(const PixelLinearRun<T>&, std::int64_t first, std::int64_t pixels);
  /// Writes dx and adds to dweights [K][C] and dbias [K]; each may be null.
  void (*backward)(const PixelLinearRun<T>&, std::int64_t first, std::int64_t pixels, double* dweights, double* dbias);
};

using PixelLinearTable = ByStorage<PixelLinearLoops>;

namespace baseline {
extern const PixelLinearTable pixel_linear_loops;
}
namespace avx2 {
extern const PixelLinearTable pixel_linear_loops;
}
namespace avx512 {
extern const PixelLinearTable pixel_linear_loops;
}

}  // namespace unet::kernels::cpu
