#include "kernels/soft_dice.h"

#include <algorithm>
#include <limits>

#include "kernels/cpu/dice.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/soft_dice.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

constexpr int max_classes = 256;  // labels are u8

/// Blocks of one image, so that no block lies in two groups.
Blocks blocks_of_image(ConstView logits) { return cut(logits.h() * logits.w(), 2048, 64); }

const ByFloat<SoftDiceLoops>& table() {
  return select(baseline::soft_dice_loops, avx2::soft_dice_loops, avx512::soft_dice_loops);
}

std::int64_t groups_of(const SoftDiceSpec& spec, ConstView logits) { return spec.batch ? 1 : logits.n(); }

/// The first class that counts.
std::int64_t first_class(const SoftDiceSpec& spec, ConstView logits) {
  return spec.background || logits.c() == 1 ? 0 : 1;
}

}  // namespace

std::size_t soft_dice_scratch(ConstView logits) {
  return static_cast<std::size_t>(logits.n() * blocks_of_image(logits).count * (logits.c() * 3 + 1)) * sizeof(double);
}

void soft_dice_forward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, double* sums,
                       SoftDiceResult* result, void* scratch) {
  const Blocks blocks = blocks_of_image(logits);
  const std::int64_t C = logits.c(), per_image = logits.h() * logits.w();
  auto* partial = static_cast<double*>(scratch);  // of every block: [C,3], then its invalid labels
  const std::int64_t width = C * 3 + 1;
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = table().of(zero);
    parallel_for(logits.n() * blocks.count, [&](std::int64_t i) {
      const std::int64_t b = i % blocks.count, begin = i / blocks.count * per_image + blocks.begin(b);
      double* part = partial + i * width;
      part[C * 3] = static_cast<double>(loops.forward(logits.as<T>() + begin * C, labels.as<std::uint8_t>() + begin,
                                                      blocks.end(b) - blocks.begin(b), static_cast<int>(C),
                                                      spec.ignore_index, part));
    });
  });

  const std::int64_t groups = groups_of(spec, logits);
  std::fill(sums, sums + groups * C * 3, 0.0);
  std::int64_t invalid = 0;
  for (std::int64_t i = 0; i < logits.n() * blocks.count; ++i) {
    double* group = sums + (spec.batch ? 0 : i / blocks.count) * C * 3;
    for (std::int64_t k = 0; k < C * 3; ++k) group[k] += partial[i * width + k];
    invalid += static_cast<std::int64_t>(partial[i * width + C * 3]);
  }

  double total = 0;
  const std::int64_t first = first_class(spec, logits);
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t c = first; c < C; ++c) total += dice_of(sums + (g * C + c) * 3, spec.smooth);
  }
  result->invalid = invalid;
  result->loss = invalid > 0   ? std::numeric_limits<double>::quiet_NaN()
                 : groups == 0 ? 0
                               : 1 - total / static_cast<double>(groups * (C - first));
}

void soft_dice_backward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, const double* sums,
                        const double* dloss, View dlogits) {
  const Blocks blocks = blocks_of_image(logits);
  const std::int64_t C = logits.c(), per_image = logits.h() * logits.w(), first = first_class(spec, logits);
  const double share = -*dloss / static_cast<double>(groups_of(spec, logits) * (C - first));
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = table().of(zero);
    parallel_for(logits.n() * blocks.count, [&](std::int64_t i) {
      const std::int64_t b = i % blocks.count, n = i / blocks.count, begin = n * per_image + blocks.begin(b);
      double slope[max_classes] = {}, offset[max_classes] = {};
      for (std::int64_t c = first; c < C; ++c) {
        const DiceSlope of_class = dice_slope(sums + ((spec.batch ? 0 : n) * C + c) * 3, spec.smooth, share);
        slope[c] = of_class.slope;
        offset[c] = of_class.offset;
      }
      loops.backward(logits.as<T>() + begin * C, labels.as<std::uint8_t>() + begin, blocks.end(b) - blocks.begin(b),
                     static_cast<int>(C), spec.ignore_index, slope, offset, dlogits.as<T>() + begin * C);
    });
  });
}

}  // namespace unet::kernels::cpu
