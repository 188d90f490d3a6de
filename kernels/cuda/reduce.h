// Sums over the pixels of a tensor, one for each channel, in two stages of fixed order: every block of a Tile leaves
// one partial result for each of its channels, then a second kernel combines them in f64. No atomics; the order depends
// on the shape alone.
#pragma once

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {

/// The cut for a pass that leaves partial results: few blocks, whatever they then have to do.
inline Tile reducing_tile(std::int64_t items, std::int64_t chunks, int per_thread) {
  return tile(items, chunks, per_thread, 1 << 30, 1024);
}

/// Sums values[] over the block's threads of one chunk; the thread with threadIdx.y == 0 gets the result. All threads
/// of the block call it. memory: K rows of kBlockThreads floats, shared.
template <int K>
__device__ inline void sum_over_items(float (&values)[K], float (*memory)[kBlockThreads]) {
  const unsigned own = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int k = 0; k < K; ++k) memory[k][own] = values[k];
  __syncthreads();
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        values[k] += memory[k][own + half * blockDim.x];
        memory[k][own] = values[k];
      }
    }
    __syncthreads();
  }
}

struct Sums {
  double first, second;
};

/// Few channels a block, so that many blocks share the work; 8 floats are one sector of memory.
inline constexpr int kCombinedChannels = 8;
inline constexpr int kCombiningRows = 64;

/// For every channel c: finish(c, the sum over b of source(b, c)), b: the blocks of the pass before along grid.x.
template <class Source, class Finish>
__global__ void __launch_bounds__(kCombinedChannels* kCombiningRows)
    combine_kernel(int partials, int channels, Source source, Finish finish) {
  __shared__ double first[kCombiningRows][kCombinedChannels], second[kCombiningRows][kCombinedChannels];
  const int lane = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  const int c = static_cast<int>(blockIdx.x) * kCombinedChannels + lane;
  Sums sum{0, 0};
  if (c < channels) {
#pragma unroll 8
    for (int b = row; b < partials; b += kCombiningRows) {
      const Sums part = source(b, c);
      sum.first += part.first;
      sum.second += part.second;
    }
  }
  first[row][lane] = sum.first;
  second[row][lane] = sum.second;
  __syncthreads();
  for (int half = kCombiningRows / 2; half > 0; half /= 2) {
    if (row < half) {
      first[row][lane] += first[row + half][lane];
      second[row][lane] += second[row + half][lane];
    }
    __syncthreads();
  }
  if (row == 0 && c < channels) finish(c, Sums{first[0][lane], second[0][lane]});
}

template <class Source, class Finish>
void combine(const Tile& cut, std::int64_t channels, Source source, Finish finish) {
  const auto blocks = static_cast<unsigned>((channels + kCombinedChannels - 1) / kCombinedChannels);
  launch(combine_kernel<Source, Finish>, {blocks}, {kCombinedChannels, kCombiningRows}, cut.grid.x, channels, source,
         finish);
}

/// The sums of a block's threads into partials [grid.x][chunks * K]. All threads of the block call it. memory: as
/// above.
template <int K>
__device__ inline void leave_partials(float (&sums)[K], float (*memory)[kBlockThreads], int chunk, int chunks,
                                      float* partials) {
  sum_over_items(sums, memory);
  if (threadIdx.y != 0 || chunk >= chunks) return;
#pragma unroll
  for (int k = 0; k < K; ++k) partials[(static_cast<std::int64_t>(blockIdx.x) * chunks + chunk) * K + k] = sums[k];
}

struct Partials {
  const float* of;
  std::int64_t channels;
  __device__ Sums operator()(std::int64_t block, int c) const {
    return {static_cast<double>(of[block * channels + c]), 0};
  }
};

struct StoreSum {
  float* out;
  __device__ void operator()(int c, Sums sum) const { out[c] = static_cast<float>(sum.first); }
};

/// out[c] = the sum of partials [grid.x][channels]
inline void combine_partials(const Tile& cut, std::int64_t channels, const float* partials, float* out) {
  combine(cut, channels, Partials{partials, channels}, StoreSum{out});
}

}  // namespace unet::kernels::cuda
