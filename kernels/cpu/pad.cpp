#include "kernels/pad.h"

#include <cstring>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/elementwise.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"

namespace unet::kernels::cpu {

void pad_or_crop(ConstView x, View y) {
  const ElementwiseTable& loops =
      select(baseline::elementwise_loops, avx2::elementwise_loops, avx512::elementwise_loops);
  const auto element = static_cast<std::int64_t>(size_of(y.dtype));
  const std::int64_t pixel_bytes = y.c() * element;
  const bool dense = x.dense() && y.dense();
  const CopyRun run{x.as<unsigned char>(), y.as<unsigned char>(),     x.pitch * element,
                    y.pitch * element,     gap_distance(x) * element, worth_streaming(y)};
  const auto clear = [&](std::int64_t first, std::int64_t pixels) {
    unsigned char* to = run.to + first * run.to_pitch;
    if (y.dense()) return static_cast<void>(std::memset(to, 0, static_cast<std::size_t>(pixels * pixel_bytes)));
    for (std::int64_t p = 0; p < pixels; ++p) {
      std::memset(to + p * run.to_pitch, 0, static_cast<std::size_t>(pixel_bytes));
    }
  };

  constexpr std::int64_t kBlockElements = std::int64_t{1} << 16;
  const std::int64_t rows = y.n() * y.h();
  const std::int64_t inside = std::min(x.w(), y.w());
  const Blocks blocks = cut(rows, kBlockElements / std::max<std::int64_t>(1, y.w() * y.c()), 4096);
  parallel_for(blocks.count, [&](std::int64_t block) {
    for (std::int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
      const std::int64_t n = row / y.h();
      const std::int64_t h = row % y.h();
      if (h >= x.h()) {
        clear(row * y.w(), y.w());
        continue;
      }
      CopyRun of_row = run;
      of_row.from += (n * x.h() + h) * x.w() * run.from_pitch;
      of_row.to += row * y.w() * run.to_pitch;
      if (dense) {
        loops.copy(of_row, 0, 1, inside * pixel_bytes);
      } else {
        loops.copy(of_row, 0, inside, pixel_bytes);
      }
      clear(row * y.w() + inside, y.w() - inside);
    }
  });
}

}  // namespace unet::kernels::cpu
