// Inner loops of the plain movements. Pitches in elements (copy: in bytes).
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

template <class T>
struct AddRun {
  const T *a, *b;
  T* y;
  std::int64_t a_pitch, b_pitch, y_pitch;
  std::int64_t a_ahead, b_ahead;  // elements from what is read to what is prefetched
  bool stream_y;
};

struct CopyRun {
  const unsigned char* from;
  unsigned char* to;
  std::int64_t from_pitch, to_pitch, from_ahead;
  bool stream;
};

template <class T>
struct AddLoops {
  /// y = a + b over `pixels` pixels of `channels` channels, from pixel `first` on.
  void (*add)(const AddRun<T>&, std::int64_t first, std::int64_t pixels, std::int64_t channels);
};

struct ElementwiseTable {
  ByStorage<AddLoops> add;
  /// `bytes` bytes of each pixel.
  void (*copy)(const CopyRun&, std::int64_t first, std::int64_t pixels, std::int64_t bytes);
  /// `size` adjacent elements; to_bf16 rounds to nearest, ties to even.
  void (*to_bf16)(const float* from, std::int64_t size, bf16* to);
  void (*to_f32)(const bf16* from, std::int64_t size, float* to);
};

namespace baseline {
extern const ElementwiseTable elementwise_loops;
}
namespace avx2 {
extern const ElementwiseTable elementwise_loops;
}
namespace avx512 {
extern const ElementwiseTable elementwise_loops;
}

}  // namespace unet::kernels::cpu
