// A pixel's channels are spread over `across` neighbouring threads, a 16-byte chunk each; a warp holds several pixels.
// Outputs are treated outputs_at_once at a time (grid.z).
#include "kernels/pixel_linear.h"

#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

constexpr int outputs_at_once = 4;
constexpr int warps = block_threads / 32;

template <int N>
struct Weights {
  float of[outputs_at_once][N];
};

/// Those of one chunk; 0 for outputs that are not there.
template <int N>
__device__ inline Weights<N> weights_of(const float* weights, std::int64_t C, std::int64_t K, std::int64_t first,
                                        std::int64_t chunk) {
  Weights<N> out;
#pragma unroll
  for (int k = 0; k < outputs_at_once; ++k) {
#pragma unroll
    for (int i = 0; i < N; ++i) out.of[k][i] = first + k < K ? weights[(first + k) * C + chunk * N + i] : 0.0f;
  }
  return out;
}

template <int N, class T>
__device__ inline void multiply(const Chunk<T, N>& x, const Weights<N>& w, float (&sum)[outputs_at_once]) {
#pragma unroll
  for (int k = 0; k < outputs_at_once; ++k) {
#pragma unroll
    for (int i = 0; i < N; ++i) sum[k] += x[i] * w.of[k][i];
  }
}

/// one_chunk: a thread has no more than one chunk of each pixel, so its weights stay in registers.
template <class T, int N, bool one_chunk>
__global__ void __launch_bounds__(block_threads)
    pixel_linear_kernel(const T* x, const float* weights, const float* bias, float* y, std::int64_t pixels,
                        std::int64_t per_block, std::int64_t C, std::int64_t K) {
  const std::int64_t chunks = C / N, first = static_cast<std::int64_t>(blockIdx.z) * outputs_at_once;
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, pixels);
  const bool mine = threadIdx.x < chunks;
  Weights<N> own{};
  if (one_chunk && mine) own = weights_of<N>(weights, C, K, first, threadIdx.x);
    // All threads of a warp stay in the loop, as the shuffles want; pixels past the end are computed again, not stored.
#pragma unroll 4
  for (std::int64_t row = begin; row < end; row += blockDim.y) {
    const std::int64_t p = min(row + threadIdx.y, end - 1);
    float sum[outputs_at_once] = {};
    if (one_chunk) {
      if (mine) multiply(load<N>(x + p * C + threadIdx.x * N), own, sum);
    } else {
      for (std::int64_t chunk = threadIdx.x; chunk < chunks; chunk += blockDim.x) {
        multiply(load<N>(x + p * C + chunk * N), weights_of<N>(weights, C, K, first, chunk), sum);
      }
    }
#pragma unroll
    for (int k = 0; k < outputs_at_once; ++k) {
      for (unsigned lanes = blockDim.x / 2; lanes > 0; lanes /= 2) {
        sum[k] += __shfl_xor_sync(0xffffffff, sum[k], static_cast<int>(lanes));
      }
      if (threadIdx.x == 0 && row + threadIdx.y < end && first + k < K) {
        y[p * K + first + k] = sum[k] + (bias != nullptr ? bias[first + k] : 0.0f);
      }
    }
  }
}

/// partial: of every stretch of pixels (grid.x) dweights [K,C], then dbias [K]; null: not wanted. grid.y: groups of
/// chunks. dx, if wanted, is written by the blocks of the first outputs.
template <class T, int N>
__global__ void __launch_bounds__(block_threads)
    pixel_linear_backward_kernel(const T* x, const float* weights, const float* dy, T* dx, double* partial,
                                 std::int64_t pixels, std::int64_t per_block, std::int64_t C, std::int64_t K) {
  __shared__ float sums[warps][32 * outputs_at_once * N];
  __shared__ float bias_sums[warps][outputs_at_once];
  const std::int64_t chunks = C / N, first = static_cast<std::int64_t>(blockIdx.z) * outputs_at_once;
  const std::int64_t chunk = own_chunk();
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, pixels);
  Weights<N> own{}, slope{};
  float bias_slope[outputs_at_once] = {};
  if (chunk < chunks) {
    own = weights_of<N>(weights, C, K, first, chunk);
#pragma unroll 2
    for (std::int64_t p = begin + threadIdx.y; p < end; p += blockDim.y) {
      const Chunk<T, N> in = load<N>(x + p * C + chunk * N);
      float out[N] = {};
#pragma unroll
      for (int k = 0; k < outputs_at_once; ++k) {
        const float d = first + k < K ? dy[p * K + first + k] : 0.0f;
        bias_slope[k] += d;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          slope.of[k][i] += d * in[i];
          out[i] += d * own.of[k][i];
        }
      }
      if (dx == nullptr || first != 0) continue;
      for (std::int64_t k = outputs_at_once; k < K; ++k) {
        const float d = dy[p * K + k];
#pragma unroll
        for (int i = 0; i < N; ++i) out[i] += d * weights[k * C + chunk * N + i];
      }
      store(dx + p * C + chunk * N, out);
    }
  }
  if (partial == nullptr) return;

  // Over the pixels of a warp by shuffles, over warps in double.
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, warp = thread / 32;
  const bool leads = thread % 32 < blockDim.x;
  for (unsigned lanes = blockDim.x; lanes < 32; lanes *= 2) {
#pragma unroll
    for (int k = 0; k < outputs_at_once; ++k) {
      bias_slope[k] += __shfl_xor_sync(0xffffffff, bias_slope[k], static_cast<int>(lanes));
#pragma unroll
      for (int i = 0; i < N; ++i) {
        slope.of[k][i] += __shfl_xor_sync(0xffffffff, slope.of[k][i], static_cast<int>(lanes));
      }
    }
  }
#pragma unroll
  for (int k = 0; k < outputs_at_once; ++k) {
    if (thread % 32 == 0) bias_sums[warp][k] = bias_slope[k];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (leads) sums[warp][(k * blockDim.x + threadIdx.x) * N + i] = slope.of[k][i];
    }
  }
  __syncthreads();
  double* out = partial + static_cast<std::int64_t>(blockIdx.x) * K * (C + 1);
  const std::int64_t width = static_cast<std::int64_t>(blockDim.x) * N, column = blockIdx.y * width;
  for (std::int64_t e = thread; e < outputs_at_once * width; e += block_threads) {
    const std::int64_t k = first + e / width, c = column + e % width;
    if (k >= K || c >= C) continue;
    double sum = 0;
    for (int w = 0; w < warps; ++w) sum += static_cast<double>(sums[w][e]);
    out[k * C + c] = sum;
  }
  if (blockIdx.y == 0 && static_cast<int>(thread) < outputs_at_once && first + thread < K) {
    double sum = 0;
    for (int w = 0; w < warps; ++w) sum += static_cast<double>(bias_sums[w][thread]);
    out[K * C + first + thread] = sum;
  }
}

unsigned output_groups(std::int64_t K) { return static_cast<unsigned>((K + outputs_at_once - 1) / outputs_at_once); }

/// A thread adds up at most 64 pixels in f32.
Tile cut_backward(std::int64_t pixels, std::int64_t chunks) { return tile(pixels, chunks, 4, 16, 1024); }

}  // namespace

void pixel_linear_forward(ConstView x, ConstView weights, ConstView bias, View y) {
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto N) {
          Tile cut = tile(x.pixels(), x.c() / decltype(N)::value, 4);
          cut.grid.y = 1;
          cut.grid.z = output_groups(y.c());
          const auto run = [&](auto one_chunk) {
            launch(pixel_linear_kernel<T, decltype(N)::value, decltype(one_chunk)::value>, cut.grid, cut.block,
                   x.as<T>(), weights.as<float>(), bias.as<float>(), y.as<float>(), x.pixels(), cut.per_block, x.c(),
                   y.c());
          };
          if (cut.chunks <= static_cast<std::int64_t>(cut.block.x)) {
            run(std::true_type{});
          } else {
            run(std::false_type{});
          }
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
        [&](auto N) {
          Tile cut = cut_backward(x.pixels(), C / decltype(N)::value);
          cut.grid.z = output_groups(K);
          launch(pixel_linear_backward_kernel<T, decltype(N)::value>, cut.grid, cut.block, x.as<T>(),
                 weights.as<float>(), dy.as<float>(), dx.as<T>(), partial, x.pixels(), cut.per_block, C, K);
          const std::int64_t stretches = cut.grid.x;
          if (dweights) sum_columns(partial, 1, stretches, K * (C + 1), K * C, dweights.as<float>());
          if (dbias) sum_columns(partial + K * C, 1, stretches, K * (C + 1), K, dbias.as<float>());
        },
        x, dx);
  });
}

}  // namespace unet::kernels::cuda
