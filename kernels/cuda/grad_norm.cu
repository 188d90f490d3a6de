#include "kernels/grad_norm.h"

#include "kernels/cuda/parts.h"

namespace unet::kernels::cuda {
namespace {

constexpr std::int64_t none = INT64_MAX;

Parts cut_of(const Ranges& x) { return parts_of(x, 16384, 2048); }

__device__ std::int64_t block_min(std::int64_t value, std::int64_t* shared) {
  __syncthreads();
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = block_threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] = min(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  return shared[0];
}

/// partial[block].first_bad: the index, or `none`. aligned: both parts can be read 16 bytes at a time.
template <bool aligned>
__global__ void __launch_bounds__(block_threads) square_sums_kernel(Parts parts, SquareSum* partial) {
  __shared__ double sums[block_threads];
  __shared__ std::int64_t firsts[block_threads];
  double sum = 0;
  std::int64_t first = none;
  with_part(parts, blockIdx.x, [&]<class T>(const T* x, std::int64_t begin, std::int64_t end, std::int64_t offset) {
    constexpr int N = aligned ? full<T> : 1;
    const auto take = [&](float value, std::int64_t at) {
      sum += static_cast<double>(value) * static_cast<double>(value);
      if (!isfinite(value)) first = min(first, offset + at);
    };
    std::int64_t i = begin + threadIdx.x * N;
#pragma unroll 4
    for (; i + N <= end; i += block_threads * N) {
      const Chunk<T, N> values = load<N>(x + i);
#pragma unroll
      for (int k = 0; k < N; ++k) take(values[k], i + k);
    }
    for (; i < end; ++i) take(to_float(x[i]), i);  // the last few, fewer than N, are one thread's
  });
  const double total = block_sum(sum, sums);
  const std::int64_t bad = block_min(first, firsts);
  if (threadIdx.x == 0) {
    partial[blockIdx.x].sum = total;
    partial[blockIdx.x].first_bad = bad;
  }
}

__global__ void __launch_bounds__(block_threads)
    add_square_sums_kernel(const SquareSum* partial, std::int64_t count, SquareSum* out) {
  __shared__ double sums[block_threads];
  __shared__ std::int64_t firsts[block_threads];
  double sum = 0;
  std::int64_t first = none;
  for (std::int64_t b = threadIdx.x; b < count; b += block_threads) {
    sum += partial[b].sum;
    first = min(first, partial[b].first_bad);
  }
  const double total = block_sum(sum, sums);
  const std::int64_t bad = block_min(first, firsts);
  if (threadIdx.x == 0) {
    out->sum = total;
    out->first_bad = bad == none ? -1 : bad;
  }
}

}  // namespace

std::size_t sum_of_squares_scratch(const Ranges& x) {
  return static_cast<std::size_t>(cut_of(x).blocks()) * sizeof(SquareSum);
}

void sum_of_squares(const Ranges& x, SquareSum* out, void* scratch) {
  const Parts parts = cut_of(x);
  auto* partial = static_cast<SquareSum*>(scratch);
  const Grid grid{parts.blocks(), 1, 1}, block{block_threads, 1, 1};
  const auto aligned = [](const Part& part) { return reinterpret_cast<std::uintptr_t>(part.data) % 16 == 0; };
  if (aligned(parts.first) && aligned(parts.second)) {
    launch(square_sums_kernel<true>, grid, block, parts, partial);
  } else {
    launch(square_sums_kernel<false>, grid, block, parts, partial);
  }
  launch(add_square_sums_kernel, Grid{}, block, partial, parts.blocks(), out);
}

}  // namespace unet::kernels::cuda
