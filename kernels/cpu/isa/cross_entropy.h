#pragma once

#include "kernels/cpu/isa/storage.h"
#include "kernels/cross_entropy.h"

namespace unet::kernels::cpu {

/// Both on `pixels` dense pixels of C channels. class_weights: C values, or null for all 1.
template <class T>
struct CrossEntropyLoops {
  CrossEntropySums (*forward)(const T* x, const std::uint8_t* labels, const T* class_weights, std::int64_t pixels,
                              int C, int ignore_index);
  /// dx = factor * w[label] * (softmax - one-hot)
  void (*backward)(const T* x, const std::uint8_t* labels, const T* class_weights, std::int64_t pixels, int C,
                   int ignore_index, double factor, T* dx);
};

namespace baseline {
extern const ByFloat<CrossEntropyLoops> cross_entropy_loops;
}
namespace avx2 {
extern const ByFloat<CrossEntropyLoops> cross_entropy_loops;
}
namespace avx512 {
extern const ByFloat<CrossEntropyLoops> cross_entropy_loops;
}

}  // namespace unet::kernels::cpu
