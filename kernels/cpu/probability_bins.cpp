#include "kernels/probability_bins.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

constexpr int kClassesAtOnce = 32;  // whose bins a block holds: 25 KB

template <class T>
int bin_of(T probability) {
  const T at = probability * kProbabilityBins;
  return at >= 0 ? std::min(static_cast<int>(at), kProbabilityBins - 1) : 0;  // a NaN is not
}

/// p[C] of one pixel.
template <class T>
void softmax(const T* x, std::int64_t C, T* p) {
  if (C == 2) {  // the usual case: one power
    p[1] = 1 / (1 + std::exp(x[0] - x[1]));
    p[0] = 1 - p[1];
    return;
  }
  const T largest = *std::max_element(x, x + C);
  T sum = 0;
  for (std::int64_t c = 0; c < C; ++c) sum += p[c] = std::exp(x[c] - largest);
  for (std::int64_t c = 0; c < C; ++c) p[c] /= sum;
}

}  // namespace

void probability_bins(ConstView logits, ConstView labels, int ignore_index, std::int64_t* bins) {
  constexpr int max_classes = 256;  // labels are u8
  const std::int64_t C = logits.c(), groups = (C + kClassesAtOnce - 1) / kClassesAtOnce;
  const Blocks blocks = cut(logits.n() * logits.h() * logits.w(), 4096, 64);
  const auto* label_of = labels.as<std::uint8_t>();
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* x = logits.as<T>();
    parallel_for(blocks.count * groups, [&](std::int64_t task) {
      const std::int64_t block = task / groups, first = task % groups * kClassesAtOnce;
      const int classes = static_cast<int>(std::min<std::int64_t>(kClassesAtOnce, C - first));
      std::uint32_t part[kClassesAtOnce * 2 * kProbabilityBins] = {};
      T p[max_classes];
      for (std::int64_t i = blocks.begin(block); i < blocks.end(block); ++i) {
        const int label = label_of[i];
        if (label == ignore_index || label >= C) continue;
        softmax(x + i * C, C, p);
        for (int c = 0; c < classes; ++c) {
          ++part[(2 * c + (label == first + c)) * kProbabilityBins + bin_of(p[first + c])];
        }
      }
      // Whole numbers: the order in which blocks arrive does not matter.
      for (std::int64_t i = 0; i < classes * 2 * kProbabilityBins; ++i) {
        if (part[i] == 0) continue;
        std::atomic_ref(bins[first * 2 * kProbabilityBins + i]).fetch_add(part[i], std::memory_order_relaxed);
      }
    });
  });
}

}  // namespace unet::kernels::cpu
