#include "kernels/cpu/isa/channel_sum.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void channel_sum(const T* __restrict x, std::int64_t pixels, std::int64_t channels, std::int64_t pitch,
                 double* __restrict sums) {
  for (std::int64_t c = 0; c < channels; ++c) sums[c] = 0;
  // Four pixels at a time: one addition in four waits for the sum before it.
  std::int64_t p = 0;
  for (; p + 4 <= pixels; p += 4) {
    const T* __restrict a = x + p * pitch;
    for (std::int64_t c = 0; c < channels; ++c) {
      sums[c] += (double(a[c]) + double(a[pitch + c])) + (double(a[2 * pitch + c]) + double(a[3 * pitch + c]));
    }
  }
  for (; p < pixels; ++p) {
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += double(x[p * pitch + c]);
  }
}

}  // namespace

const ChannelSumLoops channel_sum_loops{channel_sum<float>, channel_sum<double>};

}  // namespace unet::kernels::cpu::UNET_ISA
