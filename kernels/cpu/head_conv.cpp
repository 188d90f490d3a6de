#include "kernels/head_conv.h"

#include <algorithm>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/head_conv.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
const HeadConvLoops<T>& loops(T of) {
  return select(baseline::head_conv_loops, avx2::head_conv_loops, avx512::head_conv_loops).of(of);
}

/// Blocks of rows, of some 1024 pixels at least.
Blocks cut_rows(const Extent& x, std::int64_t most) { return cut(x.n() * x.h(), (1023 + x.w()) / x.w(), most); }

/// With a sum each; fewer where the sums are large, so that they stay within 8 MB or 16 of them.
Blocks blocks_with_sums(const Extent& x, std::int64_t K) {
  return cut_rows(x, std::clamp<std::int64_t>((std::int64_t{1} << 20) / (9 * K * x.c()), 16, 256));
}

template <class T>
HeadConvRun<T> run_of(const ConstView& x, std::int64_t K, const ConstView& weights) {
  HeadConvRun<T> run{};
  run.height = x.h();
  run.width = x.w();
  run.channels = x.c();
  run.outputs = K;
  run.x = x.as<T>();
  run.weights = weights.as<Compute<T>>();
  return run;
}

}  // namespace

void head_conv_forward(ConstView x, ConstView weights, ConstView bias, View y) {
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    HeadConvRun<T> run = run_of<T>(x, y.c(), weights);
    run.bias = bias.as<Compute<T>>();
    run.y = y.as<Compute<T>>();
    const Blocks blocks = cut_rows(x, 4096);
    parallel_for(blocks.count, [&](std::int64_t i) {
      for (std::int64_t row = blocks.begin(i); row < blocks.end(i); ++row) loops(type).forward(run, row);
    });
  });
}

std::size_t head_conv_scratch(ConstView x, std::int64_t K) {
  return static_cast<std::size_t>(blocks_with_sums(x, K).count * 9 * K * x.c()) * sizeof(double);
}

void head_conv_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, void* scratch) {
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Compute<T>;
    HeadConvRun<T> run = run_of<T>(x, dy.c(), weights);
    run.dy = dy.as<A>();
    run.dx = dx.as<T>();
    run.stream_dx = dx && worth_streaming(dx);
    const Blocks blocks = blocks_with_sums(x, dy.c());
    const std::int64_t sums = dweights.size();
    double* const partials = dweights ? static_cast<double*>(scratch) : nullptr;
    parallel_for(blocks.count, [&](std::int64_t i) {
      double* const of_block = partials == nullptr ? nullptr : partials + i * sums;
      if (of_block != nullptr) std::fill_n(of_block, sums, 0.0);
      for (std::int64_t row = blocks.begin(i); row < blocks.end(i); ++row) loops(type).backward(run, row, of_block);
    });
    for (std::int64_t e = 0; e < sums; ++e) {
      double sum = 0;
      for (std::int64_t i = 0; i < blocks.count; ++i) sum += partials[i * sums + e];
      dweights.as<A>()[e] = static_cast<A>(sum);
    }
  });
}

}  // namespace unet::kernels::cpu
