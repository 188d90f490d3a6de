#pragma once

#include "kernels/cpu/isa/storage.h"
#include "kernels/loss_sum.h"

namespace unet::kernels::cpu {

/// Both on `pixels` dense pixels of C channels, all of one image. class_weights: C values, or null for all 1.
template <class T>
struct LossSumLoops {
  /// sums [C, 3] = (sum p*t, sum p, sum t), overwritten if there is a Dice term. result: all but the loss.
  void (*forward)(const LossSumSpec& spec, const T* x, const std::uint8_t* labels, const T* class_weights,
                  std::int64_t pixels, int C, double* sums, LossSumResult* result);
  /// factor: scale / W. slope, offset: of every class, or null without a Dice term.
  void (*backward)(const LossSumSpec& spec, const T* x, const std::uint8_t* labels, const T* class_weights,
                   std::int64_t pixels, int C, double factor, const double* slope, const double* offset, T* dx);
};

namespace baseline {
extern const ByFloat<LossSumLoops> loss_sum_loops;
}
namespace avx2 {
extern const ByFloat<LossSumLoops> loss_sum_loops;
}
namespace avx512 {
extern const ByFloat<LossSumLoops> loss_sum_loops;
}

}  // namespace unet::kernels::cpu
