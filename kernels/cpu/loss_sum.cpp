#include "kernels/loss_sum.h"

#include <algorithm>
#include <limits>

#include "kernels/cpu/dice.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/loss_sum.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

constexpr int kMaxClasses = 256;  // labels are u8

/// Blocks of one image, so that no block lies in two groups.
Blocks blocks_of_image(ConstView logits) { return cut(logits.h() * logits.w(), 2048, 64); }

const ByFloat<LossSumLoops>& table() {
  return select(baseline::loss_sum_loops, avx2::loss_sum_loops, avx512::loss_sum_loops);
}

bool has_dice(const LossSumSpec& spec) { return spec.dice != 0 || spec.dice_batch != 0; }

/// The first class that counts for Dice.
std::int64_t first_class(const LossSumSpec& spec, ConstView logits) {
  return spec.background || logits.c() == 1 ? 0 : 1;
}

/// 1 - the mean D of `groups` groups; sums: of the first.
double dice_loss(const LossSumSpec& spec, ConstView logits, std::int64_t groups, const double* sums) {
  const std::int64_t C = logits.c(), first = first_class(spec, logits);
  double total = 0;
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t c = first; c < C; ++c) total += dice_of(sums + (g * C + c) * 3, spec.smooth);
  }
  return 1 - total / static_cast<double>(groups * (C - first));
}

/// Adds the slopes of a Dice term, `share` of its loss, for the pixels of a group.
void add_slopes(const LossSumSpec& spec, ConstView logits, double share, const double* sums, double* slope,
                double* offset) {
  for (std::int64_t c = first_class(spec, logits); c < logits.c(); ++c) {
    const DiceSlope of_class = dice_slope(sums + c * 3, spec.smooth, share);
    slope[c] += of_class.slope;
    offset[c] += of_class.offset;
  }
}

}  // namespace

std::size_t loss_sum_scratch(ConstView logits) {
  return static_cast<std::size_t>(logits.n() * blocks_of_image(logits).count) *
         (sizeof(LossSumResult) + static_cast<std::size_t>(logits.c()) * 3 * sizeof(double));
}

void loss_sum_forward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                      double* sums, LossSumResult* result, void* scratch) {
  const Blocks blocks = blocks_of_image(logits);
  const std::int64_t N = logits.n(), C = logits.c(), per_image = logits.h() * logits.w(), count = N * blocks.count;
  auto* partial = static_cast<LossSumResult*>(scratch);          // of every block
  auto* dice_sums = reinterpret_cast<double*>(partial + count);  // likewise, [C,3]
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = table().of(zero);
    parallel_for(count, [&](std::int64_t i) {
      const std::int64_t b = i % blocks.count, begin = i / blocks.count * per_image + blocks.begin(b);
      loops.forward(spec, logits.as<T>() + begin * C, labels.as<std::uint8_t>() + begin, class_weights.as<T>(),
                    blocks.end(b) - blocks.begin(b), static_cast<int>(C), dice_sums + i * C * 3, partial + i);
    });
  });

  LossSumResult out;
  for (std::int64_t i = 0; i < count; ++i) {
    out.pixels += partial[i].pixels;
    out.weight += partial[i].weight;
    out.invalid += partial[i].invalid;
  }
  if (out.weight != 0) out.loss = out.pixels / out.weight;
  if (has_dice(spec)) {
    std::fill(sums, sums + (N + 1) * C * 3, 0.0);
    double* all = sums + N * C * 3;
    for (std::int64_t i = 0; i < count; ++i) {
      double* image = sums + i / blocks.count * C * 3;
      for (std::int64_t k = 0; k < C * 3; ++k) image[k] += dice_sums[i * C * 3 + k];
      for (std::int64_t k = 0; k < C * 3; ++k) all[k] += dice_sums[i * C * 3 + k];
    }
    if (spec.dice != 0) out.loss += spec.dice * dice_loss(spec, logits, N, sums);
    if (spec.dice_batch != 0) out.loss += spec.dice_batch * dice_loss(spec, logits, 1, all);
  }
  if (out.invalid > 0) out.loss = std::numeric_limits<double>::quiet_NaN();
  *result = out;
}

void loss_sum_backward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                       const double* sums, const LossSumResult* result, const double* dloss, View dlogits) {
  const Blocks blocks = blocks_of_image(logits);
  const std::int64_t N = logits.n(), C = logits.c(), per_image = logits.h() * logits.w();
  const double factor = result->weight == 0 ? 0 : *dloss / result->weight;
  const double share = -*dloss / static_cast<double>(C - first_class(spec, logits));
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = table().of(zero);
    parallel_for(N * blocks.count, [&](std::int64_t i) {
      const std::int64_t b = i % blocks.count, n = i / blocks.count, begin = n * per_image + blocks.begin(b);
      double slope[kMaxClasses] = {}, offset[kMaxClasses] = {};
      if (spec.dice != 0) {
        add_slopes(spec, logits, spec.dice * share / static_cast<double>(N), sums + n * C * 3, slope, offset);
      }
      if (spec.dice_batch != 0) add_slopes(spec, logits, spec.dice_batch * share, sums + N * C * 3, slope, offset);
      loops.backward(spec, logits.as<T>() + begin * C, labels.as<std::uint8_t>() + begin, class_weights.as<T>(),
                     blocks.end(b) - blocks.begin(b), static_cast<int>(C), factor, has_dice(spec) ? slope : nullptr,
                     offset, dlogits.as<T>() + begin * C);
    });
  });
}

}  // namespace unet::kernels::cpu
