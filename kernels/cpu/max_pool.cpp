#include "kernels/max_pool.h"

#include <cstring>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/max_pool.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
const MaxPoolLoops<T>& loops(T of) {
  return select(baseline::max_pool_loops, avx2::max_pool_loops, avx512::max_pool_loops).of(of);
}

/// Pairs of x's rows, an odd last row counting as one.
Blocks cut_pairs(const Extent& x, std::int64_t pairs) {
  constexpr std::int64_t kBlockElements = std::int64_t{1} << 16;
  return cut(pairs, kBlockElements / std::max<std::int64_t>(1, 2 * x.w() * x.c()), 4096);
}

template <class T>
MaxPoolRun<T> run_of(const ConstView& x) {
  MaxPoolRun<T> run{};
  run.x = x.as<T>();
  run.x_pitch = x.pitch;
  run.height = x.h();
  run.width = x.w();
  run.channels = x.c();
  return run;
}

template <class T>
void clear_pixels(const View& view, std::int64_t first, std::int64_t pixels) {
  for (std::int64_t p = first; p < first + pixels; ++p) {
    std::memset(view.as<T>() + p * view.pitch, 0, static_cast<std::size_t>(view.c()) * sizeof(T));
  }
}

}  // namespace

void max_pool_forward(const PoolSpec& spec, ConstView x, View y) {
  const bool overlap = overlapping(spec);
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    MaxPoolRun<T> run = run_of<T>(x);
    run.y = y.as<T>();
    run.y_pitch = y.pitch;
    const Blocks blocks = cut_pairs(x, y.n() * y.h());
    parallel_for(blocks.count, [&](std::int64_t block) {
      if (overlap) return loops(type).forward_overlapping(run, blocks.begin(block), blocks.end(block));
      for (std::int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
        const std::int64_t x_row = row / y.h() * x.h() + row % y.h() * 2;
        loops(type).forward(run, x_row * x.w(), row * y.w());
      }
    });
  });
}

void max_pool_backward(const PoolSpec& spec, ConstView x, ConstView dy, View dx) {
  const bool overlap = overlapping(spec);
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    const std::int64_t H = x.h();
    const std::int64_t W = x.w();
    const std::int64_t pairs = (H + 1) / 2;
    MaxPoolRun<T> run = run_of<T>(x);
    run.dy = dy.as<T>();
    run.dx = dx.as<T>();
    run.dy_pitch = dy.pitch;
    run.dx_pitch = dx.pitch;
    run.stream_dx = worth_streaming(dx);
    const Blocks blocks = cut_pairs(x, x.n() * pairs);
    parallel_for(blocks.count, [&](std::int64_t block) {
      if (overlap) return loops(type).backward_overlapping(run, blocks.begin(block), blocks.end(block));
      for (std::int64_t item = blocks.begin(block); item < blocks.end(block); ++item) {
        const std::int64_t n = item / pairs;
        const std::int64_t pair = item % pairs;
        const std::int64_t first = (n * H + 2 * pair) * W;
        if (2 * pair + 1 == H) {
          clear_pixels<T>(dx, first, W);
          continue;
        }
        loops(type).backward(run, first, (n * (H / 2) + pair) * (W / 2));
        if (W % 2 != 0) {
          clear_pixels<T>(dx, first + W - 1, 1);
          clear_pixels<T>(dx, first + 2 * W - 1, 1);
        }
      }
    });
  });
}

}  // namespace unet::kernels::cpu
