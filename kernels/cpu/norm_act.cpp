#include "kernels/norm_act.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/norm_act.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
const NormActLoops<T>& loops(T of) {
  return select(baseline::norm_act_loops, avx2::norm_act_loops, avx512::norm_act_loops).of(of);
}

// Elements of x in a block: large enough that what a block costs by itself (its sums) is small against its work.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 17;

/// Blocks of `item_pixels` pixels (1, or the two rows of a pool), for passes over x.
Blocks cut_pixels(const Extent& x, std::int64_t items, std::int64_t item_pixels) {
  const std::int64_t item_elements = std::max<std::int64_t>(1, item_pixels * x.c());
  return cut(items, (kBlockElements + item_elements - 1) / item_elements);
}

/// The rows that one block handles: x as one long row or, with a pool, as pairs of rows (an odd last one by itself).
struct RowCut {
  std::int64_t H, W, pooled_W, pooled_H;
  bool pooling;
  Blocks blocks;

  RowCut(const Extent& x, bool with_pool)
      : H(x.h()), W(x.w()), pooled_W(x.w() / 2), pooled_H(x.h() / 2), pooling(with_pool && pooled_H > 0) {
    blocks = pooling ? cut_pixels(x, x.n() * pairs(), 2 * W) : cut_pixels(x, x.pixels(), 1);
  }

  std::int64_t pairs() const { return (H + 1) / 2; }

  /// Calls body(NormActRows) for the rows of a block, in order.
  template <class Body>
  void for_rows(std::int64_t block, Body&& body) const {
    if (!pooling) {
      body(NormActRows{blocks.begin(block), blocks.end(block) - blocks.begin(block), 1, -1});
      return;
    }
    for (std::int64_t item = blocks.begin(block); item < blocks.end(block); ++item) {
      const std::int64_t n = item / pairs();
      const std::int64_t pair = item % pairs();
      const bool whole = 2 * pair + 1 < H;
      body(NormActRows{(n * H + 2 * pair) * W, W, whole ? 2 : 1, (n * pooled_H + pair) * pooled_W});
    }
  }
};

/// Sums of every block in f64, and what a block works in. Laid out in rows of `stride` elements, 64-byte aligned.
template <class T>
struct Scratch {
  using A = Compute<T>;
  std::int64_t stride;
  double* sums;   // [blocks][2][stride]
  double* total;  // [2][stride]
  A* work;        // [blocks][4][stride]
  A* means;       // [2][stride]

  static std::int64_t stride_of(std::int64_t channels) { return (channels + 15) / 16 * 16; }
  static std::size_t bytes(std::int64_t channels, std::int64_t blocks) {
    const auto row = static_cast<std::size_t>(stride_of(channels));
    const auto count = static_cast<std::size_t>(blocks);
    return row * ((2 * count + 2) * sizeof(double) + (4 * count + 2) * sizeof(A));
  }

  Scratch(void* memory, std::int64_t channels, std::int64_t blocks) : stride(stride_of(channels)) {
    sums = static_cast<double*>(memory);
    total = sums + blocks * 2 * stride;
    work = reinterpret_cast<A*>(total + 2 * stride);
    means = work + blocks * 4 * stride;
  }
  NormActSums<T> of(std::int64_t block) const {
    double* sum = sums + block * 2 * stride;
    A* run = work + block * 4 * stride;
    return {sum, sum + stride, run, run + stride, run + 2 * stride, run + 3 * stride};
  }
};

template <class T>
NormActRun<T> make_run(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                       ConstView rstd, ConstView residual) {
  using A = Compute<T>;
  NormActRun<T> run{};
  run.channels = x.c();
  run.gamma = gamma.as<A>();
  run.beta = beta.as<A>();
  run.mean = mean.as<A>();
  run.rstd = rstd.as<A>();
  run.floor = spec.relu ? A{0} : std::numeric_limits<A>::quiet_NaN();
  run.x = x.as<T>();
  run.x_pitch = x.pitch;
  run.residual = residual.as<T>();
  run.residual_pitch = residual.pitch;
  return run;
}

}  // namespace

std::size_t norm_act_scratch(ConstView x) {
  return dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    const std::int64_t blocks = std::max(RowCut(x, false).blocks.count, RowCut(x, true).blocks.count);
    return Scratch<T>::bytes(x.c(), blocks);
  });
}

void batch_statistics(ConstView x, double epsilon, View mean, View rstd, View unbiased_var, void* scratch) {
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Compute<T>;
    const Blocks blocks = RowCut(x, false).blocks;
    const Scratch<T> work(scratch, x.c(), blocks.count);
    NormActRun<T> run{};
    run.channels = x.c();
    run.x = x.as<T>();
    run.x_pitch = x.pitch;
    const NormActLoops<T>& inner = loops(type);
    parallel_for(blocks.count, [&](std::int64_t block) {
      inner.moments(run, blocks.begin(block), blocks.end(block) - blocks.begin(block), work.of(block));
    });

    // Chan, Golub & LeVeque 1979: deviations from the whole mean = those from the block's + n_block * (difference)^2.
    const auto M = static_cast<double>(x.pixels());
    double* sum = work.total;
    double* deviation = work.total + work.stride;
    std::fill_n(work.total, 2 * work.stride, 0.0);
    const auto items = [&](std::int64_t block) { return static_cast<double>(blocks.end(block) - blocks.begin(block)); };
    for (std::int64_t block = 0; block < blocks.count; ++block) {
      const NormActSums<T> part = work.of(block);
      for (std::int64_t c = 0; c < x.c(); ++c) sum[c] += items(block) * part.first[c];
    }
    for (std::int64_t block = 0; block < blocks.count; ++block) {
      const NormActSums<T> part = work.of(block);
      for (std::int64_t c = 0; c < x.c(); ++c) {
        const double apart = part.first[c] - sum[c] / M;
        deviation[c] += part.second[c] + items(block) * apart * apart;
      }
    }
    for (std::int64_t c = 0; c < x.c(); ++c) {
      const double var = deviation[c] < 0 ? 0 : deviation[c] / M;
      mean.as<A>()[c] = static_cast<A>(sum[c] / M);
      rstd.as<A>()[c] = static_cast<A>(1 / std::sqrt(var + epsilon));
      if (unbiased_var) unbiased_var.as<A>()[c] = static_cast<A>(M > 1 ? var * M / (M - 1) : 0.0);
    }
  });
}

void norm_act_forward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                      ConstView rstd, ConstView residual, View y, View pooled) {
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    NormActRun<T> run = make_run<T>(spec, x, gamma, beta, mean, rstd, residual);
    run.y = y.as<T>();
    run.y_pitch = y.pitch;
    run.stream_y = worth_streaming(y);
    run.pooled = pooled.as<T>();
    run.pooled_pitch = pooled.pitch;
    const RowCut rows(x, static_cast<bool>(pooled));
    const NormActLoops<T>& inner = loops(type);
    // From the end to the beginning: the end of x is what the pass before (the statistics) left in the cache.
    parallel_for(rows.blocks.count, [&](std::int64_t i) {
      rows.for_rows(rows.blocks.count - 1 - i, [&](const NormActRows& at) { inner.forward(run, at); });
    });
  });
}

void norm_act_backward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                       ConstView rstd, ConstView residual, ConstView dy, ConstView dpooled, View dx, View dgamma,
                       View dbeta, View dresidual, void* scratch) {
  dispatch_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Compute<T>;
    NormActRun<T> run = make_run<T>(spec, x, gamma, beta, mean, rstd, residual);
    run.dy = dy.as<T>();
    run.dy_pitch = dy.pitch;
    run.dy_ahead = gap_distance(dy);
    run.dpooled = dpooled.as<T>();
    run.dpooled_pitch = dpooled.pitch;
    run.dx = dx.as<T>();
    run.dx_pitch = dx.pitch;
    run.stream_dx = worth_streaming(dx) && dx.data != x.data;  // over x it finds its lines in the cache
    run.dresidual = dresidual.as<T>();
    run.dresidual_pitch = dresidual.pitch;
    const RowCut rows(x, static_cast<bool>(dpooled));
    const Scratch<T> work(scratch, x.c(), rows.blocks.count);
    const NormActLoops<T>& inner = loops(type);

    A* dbeta_mean = work.means;
    A* dgamma_mean = work.means + work.stride;
    std::fill_n(work.means, 2 * work.stride, A{0});
    if (dgamma || dbeta || (dx && spec.training)) {
      parallel_for(rows.blocks.count, [&](std::int64_t block) {
        const NormActSums<T> sums = work.of(block);
        std::fill_n(sums.first, 2 * work.stride, 0.0);
        rows.for_rows(block, [&](const NormActRows& at) { inner.reduce(run, at, sums); });
      });
      std::fill_n(work.total, 2 * work.stride, 0.0);
      for (std::int64_t block = 0; block < rows.blocks.count; ++block) {
        const double* part = work.of(block).first;
        for (std::int64_t i = 0; i < 2 * work.stride; ++i) work.total[i] += part[i];
      }
      const auto M = static_cast<double>(x.pixels());
      for (std::int64_t c = 0; c < x.c(); ++c) {
        const double sum_dz = work.total[c];
        const double sum_dz_xhat = work.total[work.stride + c];
        if (dbeta) dbeta.as<A>()[c] = static_cast<A>(sum_dz);
        if (dgamma) dgamma.as<A>()[c] = static_cast<A>(sum_dz_xhat);
        if (spec.training) {
          dbeta_mean[c] = static_cast<A>(sum_dz / M);
          dgamma_mean[c] = static_cast<A>(sum_dz_xhat / M);
        }
      }
    }
    if (!dx && !dresidual) return;
    run.dbeta_mean = dbeta_mean;
    run.dgamma_mean = dgamma_mean;
    // From the end to the beginning: the end of x and dy is what the reduction left in the cache.
    parallel_for(rows.blocks.count, [&](std::int64_t i) {
      rows.for_rows(rows.blocks.count - 1 - i, [&](const NormActRows& at) { inner.apply(run, at); });
    });
  });
}

}  // namespace unet::kernels::cpu
