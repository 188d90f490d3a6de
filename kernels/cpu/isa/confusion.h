#pragma once

#include "kernels/confusion.h"
#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

template <class T>
struct ConfusionLoops {
  /// Adds to counts[C]; prediction may be null.
  void (*count)(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index,
                ClassCounts* counts, std::uint8_t* prediction);
};

namespace baseline {
extern const ByFloat<ConfusionLoops> confusion_loops;
}
namespace avx2 {
extern const ByFloat<ConfusionLoops> confusion_loops;
}
namespace avx512 {
extern const ByFloat<ConfusionLoops> confusion_loops;
}

}  // namespace unet::kernels::cpu
