// Inner loop of kernels/channel_sum.h.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

template <class T>
struct ChannelSumLoops {
  /// sums[c] = sum of x[p*pitch + c] over p < pixels.
  void (*sum)(const T* x, std::int64_t pixels, std::int64_t channels, std::int64_t pitch, double* sums);
};

using ChannelSumTable = ByStorage<ChannelSumLoops>;

namespace baseline {
extern const ChannelSumTable channel_sum_loops;
}
namespace avx2 {
extern const ChannelSumTable channel_sum_loops;
}
namespace avx512 {
extern const ChannelSumTable channel_sum_loops;
}

}  // namespace unet::kernels::cpu
