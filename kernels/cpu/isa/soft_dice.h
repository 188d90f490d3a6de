#pragma once

#include "kernels/cpu/isa/storage.h"
#include "kernels/soft_dice.h"

namespace unet::kernels::cpu {

/// Both on `pixels` dense pixels of C channels, all of one group.
template <class T>
struct SoftDiceLoops {
  /// sums [C, 3] = (sum p*t, sum p, sum t), overwritten. Returns the number of invalid labels.
  std::int64_t (*forward)(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index,
                          double* sums);
  /// dx_c = p_c * (g_c - sum_k g_k p_k) with g_c = slope[c] * t_c + offset[c].
  void (*backward)(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index,
                   const double* slope, const double* offset, T* dx);
};

namespace baseline {
extern const ByFloat<SoftDiceLoops> soft_dice_loops;
}
namespace avx2 {
extern const ByFloat<SoftDiceLoops> soft_dice_loops;
}
namespace avx512 {
extern const ByFloat<SoftDiceLoops> soft_dice_loops;
}

}  // namespace unet::kernels::cpu
