// A pixel's channels are spread over neighbouring threads, a 16-byte chunk each; a warp holds several pixels, a thread
// `together` pixels at a time, whose loads are in flight together. The case of two outputs has kernels of its own, free
// of checks; any other number is treated kOutputsAtOnce at a time (grid.z).
#include "kernels/pixel_linear.h"

#include <algorithm>

#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

constexpr int kOutputsAtOnce = 4;
constexpr int kMostTogether = 4;
constexpr int warps = kBlockThreads / 32;

/// Outputs that a thread treats: 2 where there are exactly two, else kOutputsAtOnce of any number.
template <int KT>
constexpr bool exact = KT != kOutputsAtOnce;
/// Pixels; so many that their sums stay in registers.
template <int KT>
constexpr int together = 8 / KT;
static_assert(together<2> == kMostTogether);

template <int N, int KT>
struct Weights {
  float of[KT][N];
};

/// Those of one chunk; 0 for outputs that are not there.
template <int N, int KT>
__device__ inline Weights<N, KT> weights_of(const float* weights, int C, int K, int first, int chunk) {
  Weights<N, KT> out;
#pragma unroll
  for (int k = 0; k < KT; ++k) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      out.of[k][i] =
          exact<KT> || first + k < K ? weights[static_cast<std::int64_t>(first + k) * C + chunk * N + i] : 0.0f;
    }
  }
  return out;
}

template <int N, int KT, class T>
__device__ inline void multiply(const Chunk<T, N>& x, const Weights<N, KT>& w, float* sum) {
#pragma unroll
  for (int k = 0; k < KT; ++k) {
#pragma unroll
    for (int i = 0; i < N; ++i) sum[k] += x[i] * w.of[k][i];
  }
}

/// How M sums over Lanes neighbouring threads are shared out among them.
template <int Lanes, int M>
struct Share {
  static constexpr int copies = Lanes > M ? Lanes / M : 1;  // threads that end with the same sum
  static constexpr int held = M > Lanes ? M / Lanes : 1;    // sums that a thread ends with
  __device__ static int first_of(int lane) { return lane / copies * held; }
};

/// Adds values[] up over Lanes neighbouring threads; a thread ends with the sums first_of(lane), ... in values[0], ...
/// Halves are exchanged, so that M sums take about M shuffles, not M for each doubling of Lanes.
template <int Lanes, int M>
__device__ inline void sum_and_share(float (&values)[M], int lane) {
  int held = M;
#pragma unroll
  for (int half = Lanes / 2; half > 0; half /= 2) {
    if (held == 1) {
      values[0] += __shfl_xor_sync(0xffffffff, values[0], half);
      continue;
    }
    held /= 2;
    const bool upper = (lane & half) != 0;
#pragma unroll
    for (int i = 0; i < M / 2; ++i) {
      if (i >= held) continue;
      const float keep = upper ? values[held + i] : values[i], give = upper ? values[i] : values[held + i];
      values[i] = keep + __shfl_xor_sync(0xffffffff, give, half);
    }
  }
}

/// Lanes: blockDim.x; fewer than 32 of them hold a whole pixel, a chunk each, and its weights in registers.
template <class T, int N, int Lanes, int KT>
__global__ void __launch_bounds__(kBlockThreads)
    pixel_linear_kernel(const T* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias,
                        float* __restrict__ y, int pixels, int per_block, int C, int K) {
  constexpr bool whole = Lanes < 32;
  using Own = Share<Lanes, together<KT> * KT>;
  const int lane = static_cast<int>(threadIdx.x), chunks = C / N;
  const int first = exact<KT> ? 0 : static_cast<int>(blockIdx.z) * kOutputsAtOnce;
  const bool mine = lane < chunks;
  Weights<N, KT> own{};
  if (whole && mine) own = weights_of<N, KT>(weights, C, K, first, lane);
  float add[Own::held];
#pragma unroll
  for (int i = 0; i < Own::held; ++i) {
    const int k = first + (Own::first_of(lane) + i) % KT;
    add[i] = bias != nullptr && k < K ? bias[k] : 0.0f;
  }
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  const int down = static_cast<int>(blockDim.y) * together<KT>;
  // All threads of a warp stay in the loop, as the shuffles want; pixels past the end are computed again, not stored.
  for (int row = range.begin; row < range.end; row += down) {
    const int p = row + static_cast<int>(threadIdx.y) * together<KT>;
    const auto at = [&](int u, int chunk) {
      return x + static_cast<std::int64_t>(min(p + u, range.end - 1)) * C + chunk * N;
    };
    float sums[together<KT> * KT] = {};
    if (whole) {
      if (mine) {
        Chunk<T, N> in[together<KT>];
#pragma unroll
        for (int u = 0; u < together<KT>; ++u) in[u] = load<N>(at(u, lane));
#pragma unroll
        for (int u = 0; u < together<KT>; ++u) multiply(in[u], own, sums + u * KT);
      }
    } else {
      for (int chunk = lane; chunk < chunks; chunk += Lanes) {
        const Weights<N, KT> of_chunk = weights_of<N, KT>(weights, C, K, first, chunk);
#pragma unroll
        for (int u = 0; u < together<KT>; ++u) multiply(load<N>(at(u, chunk)), of_chunk, sums + u * KT);
      }
    }
    sum_and_share<Lanes>(sums, lane);
    if (lane % Own::copies != 0) continue;
#pragma unroll
    for (int i = 0; i < Own::held; ++i) {
      const int sum = Own::first_of(lane) + i, pixel = p + sum / KT, k = first + sum % KT;
      if (pixel < range.end && (exact<KT> || k < K)) y[static_cast<std::int64_t>(pixel) * K + k] = sums[i] + add[i];
    }
  }
}

/// KT slopes of a pixel; 0 for outputs that are not there.
template <int KT>
struct Slopes {
  float of[KT];
};

template <int KT>
__device__ inline Slopes<KT> slopes_of(const float* dy, std::int64_t pixel, int first, int K) {
  Slopes<KT> out;
  if constexpr (exact<KT>) {
    const Chunk<float, KT> all = load<KT>(dy + pixel * KT);
#pragma unroll
    for (int k = 0; k < KT; ++k) out.of[k] = all[k];
  } else {
#pragma unroll
    for (int k = 0; k < KT; ++k) out.of[k] = first + k < K ? dy[pixel * K + first + k] : 0.0f;
  }
  return out;
}

/// partial: of every stretch of pixels (grid.x) dweights [K,C], then dbias [K]; null: not wanted. grid.y: groups of
/// chunks. dx, if wanted, is written by the blocks of the first outputs; it may be x where there are no others.
template <class T, int N, int KT>
__global__ void __launch_bounds__(kBlockThreads)
    pixel_linear_backward_kernel(const T* x, const float* __restrict__ weights, const float* __restrict__ dy, T* dx,
                                 double* __restrict__ partial, int pixels, int per_block, int C, int K) {
  __shared__ float sums[warps][32 * KT * N];
  __shared__ float bias_sums[warps][KT];
  const int chunks = C / N, first = exact<KT> ? 0 : static_cast<int>(blockIdx.z) * kOutputsAtOnce;
  const int chunk = own_chunk();
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  const int down = static_cast<int>(blockDim.y);
  Weights<N, KT> own{}, slope{};
  float bias_slope[KT] = {};
  if (chunk < chunks) {
    own = weights_of<N, KT>(weights, C, K, first, chunk);
    for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += together<KT> * down) {
      Chunk<T, N> in[together<KT>];
      Slopes<KT> d[together<KT>];
#pragma unroll
      for (int u = 0; u < together<KT>; ++u) {
        const std::int64_t readable = min(p + u * down, range.end - 1);
        in[u] = load<N>(x + readable * C + chunk * N);
        d[u] = slopes_of<KT>(dy, readable, first, K);
      }
#pragma unroll
      for (int u = 0; u < together<KT>; ++u) {
        if (p + u * down >= range.end) continue;
        const std::int64_t pixel = p + u * down;
        float out[N] = {};
#pragma unroll
        for (int k = 0; k < KT; ++k) {
          bias_slope[k] += d[u].of[k];
#pragma unroll
          for (int i = 0; i < N; ++i) {
            slope.of[k][i] += d[u].of[k] * in[u][i];
            out[i] += d[u].of[k] * own.of[k][i];
          }
        }
        if (dx == nullptr || first != 0) continue;
        for (int k = kOutputsAtOnce; !exact<KT> && k < K; ++k) {
          const float more = dy[pixel * K + k];
#pragma unroll
          for (int i = 0; i < N; ++i) out[i] += more * weights[static_cast<std::int64_t>(k) * C + chunk * N + i];
        }
        store(dx + pixel * C + chunk * N, out);
      }
    }
  }
  if (partial == nullptr) return;

  // Over the pixels of a warp by shuffles, over warps in double.
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, warp = thread / 32;
  const bool leads = thread % 32 < blockDim.x;
  for (unsigned lanes = blockDim.x; lanes < 32; lanes *= 2) {
#pragma unroll
    for (int k = 0; k < KT; ++k) {
      bias_slope[k] += __shfl_xor_sync(0xffffffff, bias_slope[k], static_cast<int>(lanes));
#pragma unroll
      for (int i = 0; i < N; ++i) {
        slope.of[k][i] += __shfl_xor_sync(0xffffffff, slope.of[k][i], static_cast<int>(lanes));
      }
    }
  }
#pragma unroll
  for (int k = 0; k < KT; ++k) {
    if (thread % 32 == 0) bias_sums[warp][k] = bias_slope[k];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (leads) sums[warp][(k * blockDim.x + threadIdx.x) * N + i] = slope.of[k][i];
    }
  }
  __syncthreads();
  double* const out = partial + static_cast<std::int64_t>(blockIdx.x) * K * (C + 1);
  const int width = static_cast<int>(blockDim.x) * N, column = static_cast<int>(blockIdx.y) * width;
  for (int e = static_cast<int>(thread); e < KT * width; e += kBlockThreads) {
    const int k = first + e / width, c = column + e % width;
    if (k >= K || c >= C) continue;
    double sum = 0;
    for (int w = 0; w < warps; ++w) sum += static_cast<double>(sums[w][e]);
    out[static_cast<std::int64_t>(k) * C + c] = sum;
  }
  const int k = first + static_cast<int>(thread);
  if (blockIdx.y == 0 && static_cast<int>(thread) < KT && k < K) {
    double sum = 0;
    for (int w = 0; w < warps; ++w) sum += static_cast<double>(bias_sums[w][thread]);
    out[static_cast<std::int64_t>(K) * C + k] = sum;
  }
}

/// dweights, then dbias; either may be null.
struct StoreGradients {
  float *dweights, *dbias;
  std::int64_t weights;
  __device__ void operator()(std::int64_t e, double sum) const {
    float* const to = e < weights ? dweights : dbias;
    if (to != nullptr) to[e < weights ? e : e - weights] = static_cast<float>(sum);
  }
};

unsigned output_groups(std::int64_t K) { return static_cast<unsigned>((K + kOutputsAtOnce - 1) / kOutputsAtOnce); }

/// A thread adds up at most 64 pixels in f32.
Tile cut_backward(std::int64_t pixels, std::int64_t chunks) { return tile(pixels, chunks, kMostTogether, 16, 1024); }

/// Calls body with the outputs that a thread treats; dy: what two of each pixel would be read from, if any.
template <class Body>
void with_outputs(std::int64_t K, ConstView dy, Body&& body) {
  if (K == 2 && in_chunks_of(2, dy)) {
    body(std::integral_constant<int, 2>{});
  } else {
    body(std::integral_constant<int, kOutputsAtOnce>{});
  }
}

/// Calls body with the threads that share a pixel of so many chunks.
template <int N, class Body>
void with_lanes(std::int64_t chunks, Body&& body) {
  if constexpr (N > 1) {  // single elements are left to one general kernel
    if (chunks <= 2) return body(std::integral_constant<int, 2>{});
    if (chunks <= 4) return body(std::integral_constant<int, 4>{});
    if (chunks <= 8) return body(std::integral_constant<int, 8>{});
    if (chunks <= 16) return body(std::integral_constant<int, 16>{});
  }
  body(std::integral_constant<int, 32>{});
}

}  // namespace

void pixel_linear_forward(ConstView x, ConstView weights, ConstView bias, View y) {
  const std::int64_t C = x.c(), K = y.c();
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto chunk) {
          constexpr int N = decltype(chunk)::value;
          with_lanes<N>(C / N, [&](auto lanes) {
            with_outputs(K, {}, [&](auto outputs) {
              constexpr int Lanes = decltype(lanes)::value, KT = decltype(outputs)::value;
              Tile cut = tile(x.pixels(), Lanes, kMostTogether);
              cut.grid.z = output_groups(K);
              launch(pixel_linear_kernel<T, N, Lanes, KT>, cut.grid, cut.block, x.as<T>(), weights.as<float>(),
                     bias.as<float>(), y.as<float>(), cut.items, cut.per_block, C, K);
            });
          });
        },
        x);
  });
}

std::size_t pixel_linear_scratch(ConstView x, std::int64_t K) {
  // In chunks or, for lack of alignment, one by one: whichever leaves more partial sums.
  const std::int64_t lanes = 16 / static_cast<std::int64_t>(size_of(x.dtype));
  const std::int64_t stretches =
      std::max(cut_backward(x.pixels(), x.c()).grid.x, cut_backward(x.pixels(), x.c() / lanes).grid.x);
  return static_cast<std::size_t>(stretches * K * (x.c() + 1)) * sizeof(double);
}

void pixel_linear_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                           void* scratch) {
  const std::int64_t C = x.c(), K = dy.c();
  double* const partial = dweights || dbias ? static_cast<double*>(scratch) : nullptr;
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto chunk) {
          constexpr int N = decltype(chunk)::value;
          const Tile cut = cut_backward(x.pixels(), C / N);
          const auto pass = [&](T* to, double* sums, unsigned groups) {
            const Grid grid{cut.grid.x, cut.grid.y, groups};
            with_outputs(K, dy, [&](auto outputs) {
              launch(pixel_linear_backward_kernel<T, N, decltype(outputs)::value>, grid, cut.block, x.as<T>(),
                     weights.as<float>(), dy.as<float>(), to, sums, cut.items, cut.per_block, C, K);
            });
          };
          const unsigned groups = output_groups(K);
          if (groups > 1 && dx.data == x.data) {  // all have to read x before it is overwritten
            if (partial != nullptr) pass(nullptr, partial, groups);
            pass(dx.as<T>(), nullptr, 1);
          } else {
            pass(dx.as<T>(), partial, groups);
          }
          if (partial == nullptr) return;
          sum_columns(partial, 1, cut.grid.x, K * (C + 1), K * (C + 1),
                      StoreGradients{dweights.as<float>(), dbias.as<float>(), K * C});
        },
        x, dx);
  });
}

}  // namespace unet::kernels::cuda
