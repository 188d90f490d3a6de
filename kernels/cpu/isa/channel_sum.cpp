#include "kernels/cpu/isa/channel_sum.h"

#include "kernels/bf16.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

[[gnu::always_inline]] inline double number(double x) { return x; }
[[gnu::always_inline]] inline double number(bf16 x) { return static_cast<double>(widen(x)); }

template <class T>
void channel_sum(const T* __restrict x, std::int64_t pixels, std::int64_t channels, std::int64_t pitch,
                 double* __restrict sums) {
  for (std::int64_t c = 0; c < channels; ++c) sums[c] = 0;
  // Four pixels at a time: one addition in four waits for the sum before it.
  std::int64_t p = 0;
  for (; p + 4 <= pixels; p += 4) {
    const T* __restrict a = x + p * pitch;
    for (std::int64_t c = 0; c < channels; ++c) {
      sums[c] += (number(a[c]) + number(a[pitch + c])) + (number(a[2 * pitch + c]) + number(a[3 * pitch + c]));
    }
  }
  for (; p < pixels; ++p) {
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += number(x[p * pitch + c]);
  }
}

}  // namespace

const ChannelSumTable channel_sum_loops{{channel_sum<float>}, {channel_sum<double>}, {channel_sum<bf16>}};

}  // namespace unet::kernels::cpu::UNET_ISA
