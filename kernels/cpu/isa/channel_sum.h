// Inner loop of kernels/channel_sum.h.
#pragma once

#include <cstdint>

namespace unet::kernels::cpu {

struct ChannelSumLoops {
  /// sums[c] = sum of x[p*pitch + c] over p < pixels.
  void (*f32)(const float* x, std::int64_t pixels, std::int64_t channels, std::int64_t pitch, double* sums);
  void (*f64)(const double* x, std::int64_t pixels, std::int64_t channels, std::int64_t pitch, double* sums);
};

namespace baseline {
extern const ChannelSumLoops channel_sum_loops;
}
namespace avx2 {
extern const ChannelSumLoops channel_sum_loops;
}
namespace avx512 {
extern const ChannelSumLoops channel_sum_loops;
}

}  // namespace unet::kernels::cpu
