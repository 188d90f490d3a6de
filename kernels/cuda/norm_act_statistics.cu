// Mean and variance of every channel in one pass over x. A thread takes four pixels at a time: their mean and their
// deviations from it, exactly as far as f32 goes, merged into its own by Chan, Golub & LeVeque 1979; then the threads
// of a block merge likewise, and the blocks in f64. No digits are lost to a mean far from 0, nor to an outlier.
#include "kernels/cuda/norm_act.h"
#include "kernels/cuda/reduce.h"

namespace unet::kernels::cuda {
namespace {

constexpr int together = 4;

/// partials [grid.x][3][channels]: the first pixel of a block, and mean and sum of squared deviations of its pixels
/// less the first.
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    moments_kernel(const T* x, std::int64_t pitch, int pixels, int chunks, int per_block, float* partials) {
  __shared__ float means[N][kBlockThreads], squares[N][kBlockThreads], counts[kBlockThreads];
  const int chunk = own_chunk();
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  const int step = static_cast<int>(blockDim.y);
  float mean[N] = {}, square[N] = {}, count = 0;
  Chunk<T, N> origin{};
  if (chunk < chunks) {
    origin = load<N>(x + range.begin * pitch + chunk * N);
    int p = range.begin + static_cast<int>(threadIdx.y);
    for (; p + (together - 1) * step < range.end; p += together * step) {
      Chunk<T, N> in[together];
#pragma unroll
      for (int u = 0; u < together; ++u) in[u] = load<N>(x + (p + u * step) * pitch + chunk * N);
      const float share = together / (count + together);  // of the new pixels
      const float weight = count * share;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        float value[together];
#pragma unroll
        for (int u = 0; u < together; ++u) value[u] = in[u][k] - origin[k];
        const float local = 0.25f * ((value[0] + value[1]) + (value[2] + value[3]));
        const float apart = local - mean[k];
        float deviations = apart * apart * weight;
#pragma unroll
        for (int u = 0; u < together; ++u) deviations = fmaf(value[u] - local, value[u] - local, deviations);
        square[k] += deviations;
        mean[k] = fmaf(apart, share, mean[k]);
      }
      count += together;
    }
    for (; p < range.end; p += step) {
      const Chunk<T, N> in = load<N>(x + p * pitch + chunk * N);
      const float share = 1 / (count + 1);
      const float weight = count * share;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float apart = (in[k] - origin[k]) - mean[k];
        square[k] = fmaf(apart * apart, weight, square[k]);
        mean[k] = fmaf(apart, share, mean[k]);
      }
      count += 1;
    }
  }

  const unsigned own = threadIdx.y * blockDim.x + threadIdx.x;
  const auto publish = [&] {
    counts[own] = count;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      means[k][own] = mean[k];
      squares[k][own] = square[k];
    }
  };
  publish();
  __syncthreads();
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) {
      const unsigned other = own + half * blockDim.x;
      const float both = count + counts[other];
      const float share = both > 0 ? counts[other] / both : 0;
      const float weight = count * share;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float apart = means[k][other] - mean[k];
        square[k] += fmaf(apart * apart, weight, squares[k][other]);
        mean[k] = fmaf(apart, share, mean[k]);
      }
      count = both;
      publish();
    }
    __syncthreads();
  }
  if (threadIdx.y != 0 || chunk >= chunks) return;
  float* const out = partials + std::int64_t{3} * blockIdx.x * chunks * N + chunk * N;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    out[k] = origin[k];
    out[chunks * N + k] = mean[k];
    out[2 * chunks * N + k] = square[k];
  }
}

/// A block's moments, relative to the mean of the first block: in f64 the difference costs no digits that matter.
struct Moments {
  const float* partials;
  int channels, pixels, per_block;

  __device__ double mean(int block, int c) const {
    const float* part = partials + std::int64_t{3} * block * channels + c;
    return static_cast<double>(part[0]) + static_cast<double>(part[channels]);
  }
  __device__ Sums operator()(int block, int c) const {
    const Range range = items_of(block, pixels, per_block);
    const auto count = static_cast<double>(range.end - range.begin);
    const double apart = mean(block, c) - mean(0, c);
    const float square = partials[std::int64_t{3} * block * channels + 2 * channels + c];
    return {count * apart, static_cast<double>(square) + count * apart * apart};
  }
};

struct StoreStatistics {
  Moments moments;
  double pixels, epsilon;
  float *mean, *rstd, *unbiased_var;

  __device__ void operator()(int c, Sums sum) const {
    const double deviations = sum.second - sum.first * sum.first / pixels;
    const double var = deviations < 0 ? 0 : deviations / pixels;
    mean[c] = static_cast<float>(moments.mean(0, c) + sum.first / pixels);
    rstd[c] = static_cast<float>(1 / sqrt(var + epsilon));
    if (unbiased_var != nullptr) {
      unbiased_var[c] = static_cast<float>(pixels > 1 ? var * pixels / (pixels - 1) : 0.0);
    }
  }
};

}  // namespace

void batch_statistics(ConstView x, double epsilon, View mean, View rstd, View unbiased_var, void* scratch) {
  auto* const partials = static_cast<float*>(scratch);
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          const Tile cut = norm_act_reducing_tile(x, N, false);
          launch(moments_kernel<T, N>, cut.grid, cut.block, x.as<T>(), x.pitch, cut.items, cut.chunks, cut.per_block,
                 partials);
          const Moments moments{partials, static_cast<int>(x.c()), cut.items, cut.per_block};
          combine(cut, x.c(), moments,
                  StoreStatistics{moments, static_cast<double>(x.pixels()), epsilon, mean.as<float>(), rstd.as<float>(),
                                  unbiased_var.as<float>()});
        },
        x);
  });
}

}  // namespace unet::kernels::cuda
