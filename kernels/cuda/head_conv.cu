// A thread treats a few neighbouring pixels of a row and a chunk of channels at a time, so that what it reads of a
// window's columns and of the weights serves all of them; the first-level cache serves the windows' other rows. Outputs
// are treated kOutputsAtOnce at a time (grid.z).
#include "kernels/head_conv.h"

#include <algorithm>

#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

constexpr int kOutputsAtOnce = 2;
constexpr int kTogether = 4;
constexpr int kSummedTogether = 2;  // where the sums of nine taps want the registers
constexpr int kSummedChunk = 4;
constexpr int kTaps = 9;
constexpr int kWarps = kBlockThreads / 32;

/// Groups of `together` pixels, `across` in a row, the last one shorter.
struct Groups {
  int H, W, C, K;
  int together, across;
  int items, per_block, chunks;
};

/// Pixels [w, w + together) of a row, counted over all images.
struct Group {
  int row, w;
  bool above, below;  // there is a row

  /// Whether row `i` of the three of a window lies in the image.
  __device__ bool has(int i) const { return (i != 0 || above) && (i != 2 || below); }
};

__device__ inline Group group_at(const Groups& groups, int item) {
  const int row = item / groups.across, h = row % groups.H;
  return {row, item % groups.across * groups.together, h > 0, h + 1 < groups.H};
}

/// Channels [channel, channel + N) of row i of a group's windows, from the column left of the group to the one right of
/// it; 0 beyond the image.
template <int N, class T, int Columns>
__device__ inline void load_columns(const T* from, std::int64_t pitch, const Groups& groups, const Group& group, int i,
                                    int channel, Chunk<T, N> (&to)[Columns]) {
  const std::int64_t first = (static_cast<std::int64_t>(group.row) + i - 1) * groups.W;
#pragma unroll
  for (int e = 0; e < Columns; ++e) {
    const int w = group.w + e - 1;
    to[e] = {};
    if (w >= 0 && w < groups.W) to[e] = load<N>(from + (first + w) * pitch + channel);
  }
}

/// Neighbouring weights of one output and one tap.
template <int N>
struct Weights {
  float of[N];
};
template <int N>
__device__ inline Weights<N> load_weights(const float* from) {
  Weights<N> out;
  constexpr int M = N < 4 ? N : 4;
#pragma unroll
  for (int first = 0; first < N; first += M) {
    const Chunk<float, M> part = load<M>(from + first);
#pragma unroll
    for (int i = 0; i < M; ++i) out.of[first + i] = part[i];
  }
  return out;
}

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    head_conv_forward_kernel(Groups groups, const T* __restrict__ x, const float* __restrict__ weights,
                             const float* __restrict__ bias, float* __restrict__ y) {
  constexpr int KT = kOutputsAtOnce;
  const int first = static_cast<int>(blockIdx.z) * KT, lane = static_cast<int>(threadIdx.x);
  const Range range = items_of(static_cast<int>(blockIdx.x), groups.items, groups.per_block);
  // All threads of a warp stay in the loop, as the shuffles want; what is past the end is computed again, not stored.
  for (int line = range.begin; line < range.end; line += static_cast<int>(blockDim.y)) {
    const int item = line + static_cast<int>(threadIdx.y);
    const Group group = group_at(groups, min(item, range.end - 1));
    float sums[kTogether][KT] = {};
    for (int chunk = lane; chunk < groups.chunks; chunk += static_cast<int>(blockDim.x)) {
#pragma unroll 1  // all rows at once would spill registers
      for (int i = 0; i < 3; ++i) {
        if (!group.has(i)) continue;
        Chunk<T, N> in[kTogether + 2];
        load_columns<N>(x, groups.C, groups, group, i, chunk * N, in);
#pragma unroll
        for (int j = 0; j < 3; ++j) {
#pragma unroll
          for (int k = 0; k < KT; ++k) {
            if (first + k >= groups.K) continue;
            const Weights<N> w = load_weights<N>(
                weights + (static_cast<std::int64_t>(first + k) * kTaps + 3 * i + j) * groups.C + chunk * N);
#pragma unroll
            for (int u = 0; u < kTogether; ++u) {
#pragma unroll
              for (int n = 0; n < N; ++n) sums[u][k] = fmaf(in[u + j][n], w.of[n], sums[u][k]);
            }
          }
        }
      }
    }
    for (int half = static_cast<int>(blockDim.x) / 2; half > 0; half /= 2) {
#pragma unroll
      for (int u = 0; u < kTogether; ++u) {
#pragma unroll
        for (int k = 0; k < KT; ++k) sums[u][k] += __shfl_xor_sync(0xffffffff, sums[u][k], half);
      }
    }
    if (item >= range.end || lane != 0) continue;
#pragma unroll
    for (int u = 0; u < kTogether; ++u) {
      if (group.w + u >= groups.W) continue;
      float* const to = y + (static_cast<std::int64_t>(group.row) * groups.W + group.w + u) * groups.K + first;
#pragma unroll
      for (int k = 0; k < KT; ++k) {
        if (first + k < groups.K) to[k] = bias == nullptr ? sums[u][k] : sums[u][k] + bias[first + k];
      }
    }
  }
}

/// What a window's row i and column j gave to y, y's gradient gives back through the weights of row 2 - i, column 2 -
/// j.
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads) head_conv_dx_kernel(Groups groups, const float* __restrict__ weights,
                                                                     const float* __restrict__ dy, T* __restrict__ dx) {
  const int channel = own_chunk() * N;
  if (own_chunk() >= groups.chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), groups.items, groups.per_block);
  for (int item = range.begin + static_cast<int>(threadIdx.y); item < range.end; item += static_cast<int>(blockDim.y)) {
    const Group group = group_at(groups, item);
    float sums[kTogether][N] = {};
#pragma unroll 1
    for (int i = 0; i < 3; ++i) {
      if (!group.has(i)) continue;
#pragma unroll 1
      for (int k = 0; k < groups.K; ++k) {
        Chunk<float, 1> slope[kTogether + 2];
        load_columns<1>(dy, groups.K, groups, group, i, k, slope);
#pragma unroll
        for (int j = 0; j < 3; ++j) {
          const Weights<N> w = load_weights<N>(
              weights + (static_cast<std::int64_t>(k) * kTaps + 3 * (2 - i) + 2 - j) * groups.C + channel);
#pragma unroll
          for (int u = 0; u < kTogether; ++u) {
#pragma unroll
            for (int n = 0; n < N; ++n) sums[u][n] = fmaf(slope[u + j].element, w.of[n], sums[u][n]);
          }
        }
      }
    }
#pragma unroll
    for (int u = 0; u < kTogether; ++u) {
      if (group.w + u >= groups.W) continue;
      store(dx + (static_cast<std::int64_t>(group.row) * groups.W + group.w + u) * groups.C + channel, sums[u]);
    }
  }
}

/// partial: of every stretch of groups (grid.x) dweights [K,3,3,C]. grid.y: groups of chunks.
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    head_conv_dweights_kernel(Groups groups, const T* __restrict__ x, const float* __restrict__ dy,
                              double* __restrict__ partial) {
  constexpr int KT = kOutputsAtOnce;
  __shared__ float memory[kWarps][32 * KT * N];
  const int first = static_cast<int>(blockIdx.z) * KT, chunk = own_chunk();
  const Range range = items_of(static_cast<int>(blockIdx.x), groups.items, groups.per_block);
  float sums[kTaps][KT][N] = {};
  for (int item = range.begin + static_cast<int>(threadIdx.y); item < range.end && chunk < groups.chunks;
       item += static_cast<int>(blockDim.y)) {
    const Group group = group_at(groups, item);
    Chunk<T, N> in[kSummedTogether];
#pragma unroll
    for (int u = 0; u < kSummedTogether; ++u) {
      in[u] = {};
      if (group.w + u < groups.W) {
        in[u] = load<N>(x + (static_cast<std::int64_t>(group.row) * groups.W + group.w + u) * groups.C + chunk * N);
      }
    }
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      if (!group.has(i)) continue;
#pragma unroll
      for (int k = 0; k < KT; ++k) {
        if (first + k >= groups.K) continue;
        Chunk<float, 1> slope[kSummedTogether + 2];
        load_columns<1>(dy, groups.K, groups, group, i, first + k, slope);
#pragma unroll
        for (int j = 0; j < 3; ++j) {
#pragma unroll
          for (int u = 0; u < kSummedTogether; ++u) {
#pragma unroll
            for (int n = 0; n < N; ++n) {
              float& sum = sums[3 * (2 - i) + 2 - j][k][n];
              sum = fmaf(slope[u + j].element, in[u][n], sum);
            }
          }
        }
      }
    }
  }

  // Over the pixels of a warp by shuffles, over warps in double.
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, warp = thread / 32;
  const bool leads = thread % 32 < blockDim.x;
  const int width = static_cast<int>(blockDim.x) * N, column = static_cast<int>(blockIdx.y) * width;
  double* const out = partial + static_cast<std::int64_t>(blockIdx.x) * groups.K * kTaps * groups.C;
#pragma unroll
  for (int tap = 0; tap < kTaps; ++tap) {
#pragma unroll
    for (int k = 0; k < KT; ++k) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
        float sum = sums[tap][k][n];
        for (unsigned lanes = blockDim.x; lanes < 32; lanes *= 2) {
          sum += __shfl_xor_sync(0xffffffff, sum, static_cast<int>(lanes));
        }
        if (leads) memory[warp][(k * blockDim.x + threadIdx.x) * N + n] = sum;
      }
    }
    __syncthreads();
    for (int e = static_cast<int>(thread); e < KT * width; e += kBlockThreads) {
      const int k = first + e / width, c = column + e % width;
      if (k >= groups.K || c >= groups.C) continue;
      double sum = 0;
      for (int w = 0; w < kWarps; ++w) sum += static_cast<double>(memory[w][e]);
      out[(static_cast<std::int64_t>(k) * kTaps + tap) * groups.C + c] = sum;
    }
    __syncthreads();
  }
}

struct Partition {
  Groups groups;
  Grid grid, block;
};

/// per_thread, most, blocks_wanted: as for tile().
Partition partition(const Extent& x, std::int64_t K, int lanes, int together, int per_thread, int most,
                    int blocks_wanted) {
  require_countable(x.pixels());
  const std::int64_t across = (x.w() + together - 1) / together;
  const Tile cut = tile(x.n() * x.h() * across, x.c() / lanes, per_thread, most, blocks_wanted);
  const auto number = [](std::int64_t n) { return static_cast<int>(n); };
  return {{number(x.h()), number(x.w()), number(x.c()), number(K), together, number(across), cut.items, cut.per_block,
           cut.chunks},
          cut.grid,
          cut.block};
}

Partition partition(const Extent& x, std::int64_t K, int lanes) {
  return partition(x, K, lanes, kTogether, 2, 8, 2048);
}

/// A thread adds up at most 64 pixels in f32.
Partition partition_sums(const Extent& x, std::int64_t K, int lanes) {
  constexpr int kTurns = 4, kPixels = 64;
  return partition(x, K, lanes, kSummedTogether, kTurns, kPixels / kSummedTogether / kTurns, 1024);
}

unsigned output_groups(std::int64_t K) { return static_cast<unsigned>((K + kOutputsAtOnce - 1) / kOutputsAtOnce); }

}  // namespace

void head_conv_forward(ConstView x, ConstView weights, ConstView bias, View y) {
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          Partition of = partition(x, y.c(), N);
          of.grid.y = 1;  // a thread goes through all chunks that are blockDim.x apart
          of.grid.z = output_groups(y.c());
          launch(head_conv_forward_kernel<T, N>, of.grid, of.block, of.groups, x.as<T>(), weights.as<float>(),
                 bias.as<float>(), y.as<float>());
        },
        x, weights);
  });
}

std::size_t head_conv_scratch(ConstView x, std::int64_t K) {
  // In chunks or, for lack of alignment, one by one: whichever leaves more partial sums.
  const unsigned stretches = std::max(partition_sums(x, K, 1).grid.x, partition_sums(x, K, kSummedChunk).grid.x);
  return static_cast<std::size_t>(stretches * K * kTaps * x.c()) * sizeof(double);
}

void head_conv_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, void* scratch) {
  const std::int64_t C = x.c(), K = dy.c();
  dispatch(x.dtype, [&]<class T>(T) {
    if (dx) {
      with_chunks<full<T>>(
          [&](auto lanes) {
            constexpr int N = decltype(lanes)::value;
            const Partition of = partition(x, K, N);
            launch(head_conv_dx_kernel<T, N>, of.grid, of.block, of.groups, weights.as<float>(), dy.as<float>(),
                   dx.as<T>());
          },
          weights, dx);
    }
    if (!dweights) return;
    with_chunks<kSummedChunk>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          Partition of = partition_sums(x, K, N);
          of.grid.z = output_groups(K);
          double* const partial = static_cast<double*>(scratch);
          launch(head_conv_dweights_kernel<T, N>, of.grid, of.block, of.groups, x.as<T>(), dy.as<float>(), partial);
          sum_columns(partial, 1, of.grid.x, K * kTaps * C, K * kTaps * C, dweights.as<float>());
        },
        x);
  });
}

}  // namespace unet::kernels::cuda
