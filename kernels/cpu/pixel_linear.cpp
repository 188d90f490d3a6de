#include "kernels/pixel_linear.h"

#include <algorithm>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/pixel_linear.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
const PixelLinearLoops<T>& loops(T of) {
  return select(baseline::pixel_linear_loops, avx2::pixel_linear_loops, avx512::pixel_linear_loops).of(of);
}

/// Blocks of pixels with a sum each; fewer where the sums are large, so that they stay within 8 MB or 16 of them.
Blocks pixel_blocks(const Extent& x, std::int64_t K) {
  return cut(x.pixels(), 1024, std::clamp<std::int64_t>((std::int64_t{1} << 20) / (K * x.c()), 16, 256));
}

}  // namespace

void pixel_linear_forward(ConstView x, ConstView weights, ConstView bias, View y) {
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Compute<T>;
    PixelLinearRun<T> run{};
    run.channels = x.c();
    run.outputs = y.c();
    run.x = x.as<T>();
    run.weights = weights.as<A>();
    run.bias = bias.as<A>();
    run.y = y.as<A>();
    const Blocks blocks = cut(x.pixels(), 1024, 4096);
    parallel_for(blocks.count,
                 [&](std::int64_t i) { loops(type).forward(run, blocks.begin(i), blocks.end(i) - blocks.begin(i)); });
  });
}

std::size_t pixel_linear_scratch(ConstView x, std::int64_t K) {
  return static_cast<std::size_t>(pixel_blocks(x, K).count * K * (x.c() + 1)) * sizeof(double);
}

void pixel_linear_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                           void* scratch) {
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Compute<T>;
    const std::int64_t K = dy.c(), C = x.c();
    PixelLinearRun<T> run{};
    run.channels = C;
    run.outputs = K;
    run.x = x.as<T>();
    run.weights = weights.as<A>();
    run.dy = dy.as<A>();
    run.dx = dx.as<T>();
    run.stream_dx = dx && worth_streaming(dx) && dx.data != x.data;
    const Blocks blocks = pixel_blocks(x, K);
    const std::int64_t sums = K * (C + 1);  // of one block: dweights, then dbias
    double* partials = static_cast<double*>(scratch);
    parallel_for(blocks.count, [&](std::int64_t i) {
      double* of_block = partials + i * sums;
      std::fill_n(of_block, sums, 0.0);
      loops(type).backward(run, blocks.begin(i), blocks.end(i) - blocks.begin(i), dweights ? of_block : nullptr,
                           dbias ? of_block + K * C : nullptr);
    });
    const auto add_up = [&](std::int64_t begin, View out) {
      if (!out) return;
      const Blocks elements = cut(out.size(), 1024);
      parallel_for(elements.count, [&](std::int64_t block) {
        for (std::int64_t e = elements.begin(block); e < elements.end(block); ++e) {
          double sum = 0;
          for (std::int64_t i = 0; i < blocks.count; ++i) sum += partials[i * sums + begin + e];
          out.as<A>()[e] = static_cast<A>(sum);
        }
      });
    };
    add_up(0, dweights);
    add_up(K * C, dbias);
  });
}

}  // namespace unet::kernels::cpu
