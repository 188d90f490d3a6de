#include "kernels/cross_entropy.h"

#include <limits>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/cross_entropy.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

Blocks blocks_of(ConstView logits) { return cut(logits.pixels(), 2048); }

const ByFloat<CrossEntropyLoops>& table() {
  return select(baseline::cross_entropy_loops, avx2::cross_entropy_loops, avx512::cross_entropy_loops);
}

}  // namespace

std::size_t cross_entropy_scratch(ConstView logits) {
  return static_cast<std::size_t>(blocks_of(logits).count) * sizeof(CrossEntropySums);
}

void cross_entropy_forward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                           CrossEntropySums* out, void* scratch) {
  const Blocks blocks = blocks_of(logits);
  auto* partial = static_cast<CrossEntropySums*>(scratch);
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = table().of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      partial[b] = loops.forward(logits.as<T>() + blocks.begin(b) * logits.c(),
                                 labels.as<std::uint8_t>() + blocks.begin(b), class_weights.as<T>(),
                                 blocks.end(b) - blocks.begin(b), static_cast<int>(logits.c()), spec.ignore_index);
    });
  });
  CrossEntropySums sums;
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    sums.loss += partial[b].loss;
    sums.weight += partial[b].weight;
    sums.invalid += partial[b].invalid;
  }
  sums.mean = sums.invalid > 0   ? std::numeric_limits<double>::quiet_NaN()
              : sums.weight == 0 ? 0
                                 : sums.loss / sums.weight;
  *out = sums;
}

void cross_entropy_backward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                            const CrossEntropySums* sums, const double* dloss, View dlogits) {
  const Blocks blocks = blocks_of(logits);
  const double factor = sums->weight == 0 ? 0 : *dloss / sums->weight;
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = table().of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      const std::int64_t offset = blocks.begin(b) * logits.c();
      loops.backward(logits.as<T>() + offset, labels.as<std::uint8_t>() + blocks.begin(b), class_weights.as<T>(),
                     blocks.end(b) - blocks.begin(b), static_cast<int>(logits.c()), spec.ignore_index, factor,
                     dlogits.as<T>() + offset);
    });
  });
}

}  // namespace unet::kernels::cpu
