#include "kernels/confusion.h"

#include <algorithm>
#include <atomic>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/confusion.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void confusion(ConstView logits, ConstView labels, int ignore_index, ClassCounts* counts, View prediction) {
  constexpr int max_classes = 256;  // labels are u8
  const std::int64_t C = logits.c(), per_image = logits.h() * logits.w();
  const Blocks blocks = cut(per_image, 2048, 64);
  std::fill(counts, counts + logits.n() * C, ClassCounts{});
  dispatch_float(logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = select(baseline::confusion_loops, avx2::confusion_loops, avx512::confusion_loops).of(zero);
    parallel_for(logits.n() * blocks.count, [&](std::int64_t i) {
      const std::int64_t b = i % blocks.count, n = i / blocks.count, begin = n * per_image + blocks.begin(b);
      ClassCounts part[max_classes];
      loops.count(logits.as<T>() + begin * C, labels.as<std::uint8_t>() + begin, blocks.end(b) - blocks.begin(b),
                  static_cast<int>(C), ignore_index, part,
                  prediction ? prediction.as<std::uint8_t>() + begin : nullptr);
      // Whole numbers: the order in which blocks arrive does not matter.
      for (std::int64_t c = 0; c < C; ++c) {
        ClassCounts& sum = counts[n * C + c];
        std::atomic_ref(sum.both).fetch_add(part[c].both, std::memory_order_relaxed);
        std::atomic_ref(sum.predicted).fetch_add(part[c].predicted, std::memory_order_relaxed);
        std::atomic_ref(sum.truth).fetch_add(part[c].truth, std::memory_order_relaxed);
      }
    });
  });
}

}  // namespace unet::kernels::cpu
