// What limits these passes is how many bytes are in flight: a thread loads four chunks of every tensor before it
// computes, and its registers are kept few. With or without windows and residual are kernels of their own for that
// reason.
#include "kernels/cuda/norm_act.h"

#include <algorithm>
#include <limits>

namespace unet::kernels::cuda {
namespace {

/// Blocks that a multiprocessor shall have room for, where a kernel fits into half of the registers on all chips.
constexpr int blocks_at_once(bool crowded) { return crowded ? 1 : 2; }
/// The reduction with windows does on these alone.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 && __CUDA_ARCH__ < 1000
constexpr bool kWindowsAreCrowded = false;
#else
constexpr bool kWindowsAreCrowded = true;
#endif

/// The block's place in the order of work, last first: the end of x is what the pass before left in the cache.
__device__ inline int block_from_the_end() { return static_cast<int>(gridDim.x - 1 - blockIdx.x); }

template <class T, int N, bool Windows, bool Residual>
__global__ void __launch_bounds__(kBlockThreads, blocks_at_once(false)) norm_act_forward_kernel(NormActRun<T> run) {
  constexpr int M = kChannelsAtOnce<N>;
  const int channel = own_chunk() * N;
  if (own_chunk() >= run.groups.chunks) return;
  for_groups<Windows>(run.groups, block_from_the_end(), [&](const Group& group) {
    Chunk<T, N> x[4], residual[4], y[4], pooled;
    load_group(run.x, run.x_pitch, group, channel, x);
    if constexpr (Residual) load_group(run.residual, run.residual_pitch, group, channel, residual);
    for_channels<N>(run, channel, [&](int first, const Normalised<M>& of) {
      float values[4][M];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int k = 0; k < M; ++k) {
          const float add = Residual ? residual[i][first + k] : 0;
          values[i][k] = activated(of.z(k, of.centred(k, x[i][first + k]), add), run.floor);
        }
        y[i].put(first, values[i]);
      }
      if constexpr (Windows) {
        float most[M];
#pragma unroll
        for (int k = 0; k < M; ++k) most[k] = maximum_of({values[0][k], values[1][k], values[2][k], values[3][k]});
        pooled.put(first, most);
      }
    });
    if (run.y != nullptr) store_group(run.y, run.y_pitch, group, channel, y);
    if constexpr (Windows) {
      if (group.pooled >= 0) store(run.pooled + group.pooled * run.pooled_pitch + channel, pooled);
    }
  });
}

/// What a thread knows of a group on the way back.
template <class T, int N, bool Windows, bool Residual>
struct Incoming {
  Chunk<T, N> x[4], residual[Residual ? 4 : 1], dy[4] = {}, dpooled = {};

  __device__ Incoming(const NormActRun<T>& run, const Group& group, int channel) {
    load_group(run.x, run.x_pitch, group, channel, x);
    if (!Windows || run.dy != nullptr) load_group(run.dy, run.dy_pitch, group, channel, dy);
    if constexpr (Residual) load_group(run.residual, run.residual_pitch, group, channel, residual);
    if constexpr (Windows) {
      if (group.pooled >= 0) dpooled = load<N>(run.dpooled + group.pooled * run.dpooled_pitch + channel);
    }
  }

  /// dz of channel first + k, the gradients of y and of the pooled image where the ReLU was open; and x - mean.
  template <int M>
  __device__ void gradient(const NormActRun<T>& run, const Normalised<M>& of, int first, int k, float (&centred)[4],
                           float (&dz)[4]) const {
    float z[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      centred[i] = of.centred(k, x[i][first + k]);
      if constexpr (Residual) {
        z[i] = of.z(k, centred[i], residual[i][first + k]);
      } else {
        z[i] = of.z(k, centred[i], 0);
      }
      dz[i] = dy[i][first + k];
    }
    if constexpr (Windows) {
      // The pool chose among values as stored, after the ReLU; where that made them equal, no gradient passes it.
      float window[4] = {z[0], z[1], z[2], z[3]};
      round_pair<T>(window[0], window[1]);
      round_pair<T>(window[2], window[3]);
      add_to_winner(window, dpooled[first + k], dz);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) dz[i] = z[i] <= run.floor ? 0 : dz[i];
  }
};

/// partials [grid.x][2][channels]: sums of dz and of dz * (x - mean).
template <class T, int N, bool Windows, bool Residual>
__global__ void __launch_bounds__(kBlockThreads, blocks_at_once(Windows && (Residual || kWindowsAreCrowded)))
    norm_act_reduce_kernel(NormActRun<T> run, float* partials) {
  __shared__ float memory[2 * N][kBlockThreads];
  constexpr int M = kChannelsAtOnce<N>;
  const int channel = own_chunk() * N;
  float sums[2 * N] = {};
  if (own_chunk() < run.groups.chunks) {
    for_groups<Windows>(run.groups, static_cast<int>(blockIdx.x), [&](const Group& group) {
      const Incoming<T, N, Windows, Residual> in(run, group, channel);
      for_channels<N>(run, channel, [&](int first, const Normalised<M>& of) {
#pragma unroll
        for (int k = 0; k < M; ++k) {
          float centred[4], dz[4];
          in.gradient(run, of, first, k, centred, dz);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const float inside = group.inside[i] ? dz[i] : 0;
            sums[first + k] += inside;
            sums[N + first + k] = fmaf(inside, centred[i], sums[N + first + k]);
          }
        }
      });
    });
  }
  sum_over_items(sums, memory);
  if (threadIdx.y != 0 || own_chunk() >= run.groups.chunks) return;
  const int channels = run.groups.chunks * N;
  float* const out = partials + std::int64_t{2} * blockIdx.x * channels + channel;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    out[k] = sums[k];
    out[channels + k] = sums[N + k];
  }
}

template <class T, int N, bool Windows, bool Residual>
__global__ void __launch_bounds__(kBlockThreads, blocks_at_once(Windows&& Residual))
    norm_act_apply_kernel(NormActRun<T> run) {
  constexpr int M = kChannelsAtOnce<N>;
  const int channel = own_chunk() * N;
  if (own_chunk() >= run.groups.chunks) return;
  const bool through_statistics = run.through_mean != nullptr;
  for_groups<Windows>(run.groups, block_from_the_end(), [&](const Group& group) {
    const Incoming<T, N, Windows, Residual> in(run, group, channel);
    Chunk<T, N> dx[4], dresidual[Residual ? 4 : 1];
    for_channels<N>(run, channel, [&](int first, const Normalised<M>& of) {
      float to_dx[4][M], to_dresidual[4][M];
      // Constant statistics: any numbers that exist, times 0.
      const PerChannel<M> mean_way(through_statistics ? run.through_mean : run.mean, channel + first);
      const PerChannel<M> deviation_way(through_statistics ? run.through_deviation : run.mean, channel + first);
#pragma unroll
      for (int k = 0; k < M; ++k) {
        float centred[4], dz[4];
        in.gradient(run, of, first, k, centred, dz);
        const float a = through_statistics ? mean_way[k] : 0, b = through_statistics ? deviation_way[k] : 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          to_dresidual[i][k] = dz[i];
          to_dx[i][k] = of.scale(k) * fmaf(-centred[i], b, dz[i] - a);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        dx[i].put(first, to_dx[i]);
        if constexpr (Residual) dresidual[i].put(first, to_dresidual[i]);
      }
    });
    if (run.dx != nullptr) store_group(run.dx, run.dx_pitch, group, channel, dx);
    if constexpr (Residual) {
      if (run.dresidual != nullptr) store_group(run.dresidual, run.dresidual_pitch, group, channel, dresidual);
    }
  });
}

struct Partial {
  const float* partials;
  int channels;
  __device__ Sums operator()(std::int64_t block, int c) const {
    const float* part = partials + 2 * block * channels + c;
    return {static_cast<double>(part[0]), static_cast<double>(part[channels])};
  }
};

struct StoreGradients {
  double pixels;
  const float* rstd;
  float *dgamma, *dbeta, *through_mean, *through_deviation;

  __device__ void operator()(int c, Sums sum) const {
    const double sum_xhat = sum.second * static_cast<double>(rstd[c]);
    if (dbeta != nullptr) dbeta[c] = static_cast<float>(sum.first);
    if (dgamma != nullptr) dgamma[c] = static_cast<float>(sum_xhat);
    through_mean[c] = static_cast<float>(sum.first / pixels);
    through_deviation[c] = static_cast<float>(static_cast<double>(rstd[c]) * sum_xhat / pixels);
  }
};

template <class T>
NormActRun<T> make_run(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                       ConstView rstd, ConstView residual) {
  NormActRun<T> run{};
  run.gamma = gamma.as<float>();
  run.beta = beta.as<float>();
  run.mean = mean.as<float>();
  run.rstd = rstd.as<float>();
  run.floor = spec.relu ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  run.x = x.as<T>();
  run.x_pitch = x.pitch;
  run.residual = residual.as<T>();
  run.residual_pitch = residual.pitch;
  return run;
}

Tile applying_tile(const Extent& x, int lanes, bool windows) {
  return tile(group_items(x, windows), x.c() / lanes, items_together(windows));
}

/// Calls body(windows, residual), both std::bool_constant.
template <class Body>
void with_flags(bool windows, bool residual, Body&& body) {
  const auto second = [&](auto first) { residual ? body(first, std::true_type{}) : body(first, std::false_type{}); };
  windows ? second(std::true_type{}) : second(std::false_type{});
}

}  // namespace

std::size_t norm_act_scratch(ConstView x) {
  unsigned rows = 0;
  dispatch(x.dtype, [&]<class T>(T) {
    for (const int lanes : {1, full<T>}) {
      for (const bool windows : {false, true}) rows = std::max(rows, norm_act_reducing_tile(x, lanes, windows).grid.x);
    }
  });
  return (3 * std::size_t{rows} + 2) * static_cast<std::size_t>(x.c()) * sizeof(float);
}

void norm_act_forward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                      ConstView rstd, ConstView residual, View y, View pooled) {
  dispatch(x.dtype, [&]<class T>(T) {
    NormActRun<T> run = make_run<T>(spec, x, gamma, beta, mean, rstd, residual);
    run.y = y.as<T>();
    run.y_pitch = y.pitch;
    run.pooled = pooled.as<T>();
    run.pooled_pitch = pooled.pitch;
    const auto with = [&](auto lanes, auto windows, auto has_residual) {
      constexpr int N = decltype(lanes)::value;
      constexpr bool W = decltype(windows)::value, R = decltype(has_residual)::value;
      const Tile cut = applying_tile(x, N, W);
      run.groups = groups_of(x, cut);
      launch(norm_act_forward_kernel<T, N, W, R>, cut.grid, cut.block, run);
    };
    with_chunks<full<T>>(
        [&](auto lanes) {
          with_flags(static_cast<bool>(pooled), static_cast<bool>(residual),
                     [&](auto windows, auto has_residual) { with(lanes, windows, has_residual); });
        },
        x, residual, y, pooled, gamma, beta, mean, rstd);
  });
}

void norm_act_backward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                       ConstView rstd, ConstView residual, ConstView dy, ConstView dpooled, View dx, View dgamma,
                       View dbeta, View dresidual, void* scratch) {
  dispatch(x.dtype, [&]<class T>(T) {
    NormActRun<T> run = make_run<T>(spec, x, gamma, beta, mean, rstd, residual);
    run.dy = dy.as<T>();
    run.dy_pitch = dy.pitch;
    run.dpooled = dpooled.as<T>();
    run.dpooled_pitch = dpooled.pitch;
    run.dx = dx.as<T>();
    run.dx_pitch = dx.pitch;
    run.dresidual = dresidual.as<T>();
    run.dresidual_pitch = dresidual.pitch;
    auto* const through_mean = static_cast<float*>(scratch);
    auto* const through_deviation = through_mean + x.c();
    auto* const partials = through_deviation + x.c();

    const auto with = [&](auto lanes, auto windows, auto has_residual) {
      constexpr int N = decltype(lanes)::value;
      constexpr bool W = decltype(windows)::value, R = decltype(has_residual)::value;
      if (dgamma || dbeta || (dx && spec.training)) {
        const Tile cut = norm_act_reducing_tile(x, N, W);
        run.groups = groups_of(x, cut);
        launch(norm_act_reduce_kernel<T, N, W, R>, cut.grid, cut.block, run, partials);
        combine(cut, x.c(), Partial{partials, static_cast<int>(x.c())},
                StoreGradients{static_cast<double>(x.pixels()), run.rstd, dgamma.as<float>(), dbeta.as<float>(),
                               through_mean, through_deviation});
        run.through_mean = spec.training ? through_mean : nullptr;
        run.through_deviation = spec.training ? through_deviation : nullptr;
      }
      if (!dx && !dresidual) return;
      const Tile cut = applying_tile(x, N, W);
      run.groups = groups_of(x, cut);
      launch(norm_act_apply_kernel<T, N, W, R>, cut.grid, cut.block, run);
    };
    with_chunks<full<T>>(
        [&](auto lanes) {
          with_flags(static_cast<bool>(dpooled), static_cast<bool>(residual),
                     [&](auto windows, auto has_residual) { with(lanes, windows, has_residual); });
        },
        x, residual, dy, dpooled, dx, dresidual, gamma, beta, mean, rstd);
  });
}

}  // namespace unet::kernels::cuda
