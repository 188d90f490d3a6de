#include "kernels/grad_norm.h"

#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

constexpr std::int64_t none = INT64_MAX;

Cut cut_of(ConstView x) { return cut(x.size(), 16384, 2048); }

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

/// partial[block].first_bad: the index, or `none`.
template <class T, int N>
__global__ void __launch_bounds__(block_threads)
    square_sums_kernel(const T* x, std::int64_t size, std::int64_t per_block, SquareSum* partial) {
  __shared__ double sums[block_threads];
  __shared__ std::int64_t firsts[block_threads];
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, size);
  double sum = 0;
  std::int64_t first = none;
  const auto take = [&](float value, std::int64_t at) {
    sum += static_cast<double>(value) * static_cast<double>(value);
    if (!isfinite(value)) first = min(first, at);
  };
  std::int64_t i = begin + threadIdx.x * N;
#pragma unroll 4
  for (; i + N <= end; i += block_threads * N) {
    const Chunk<T, N> values = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) take(values[k], i + k);
  }
  for (; i < end; ++i) take(to_float(x[i]), i);  // the last few, fewer than N, are one thread's
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

std::size_t sum_of_squares_scratch(ConstView x) {
  return static_cast<std::size_t>(cut_of(x).count) * sizeof(SquareSum);
}

void sum_of_squares(ConstView x, SquareSum* out, void* scratch) {
  const Cut blocks = cut_of(x);
  auto* partial = static_cast<SquareSum*>(scratch);
  const Grid grid{static_cast<unsigned>(blocks.count), 1, 1}, block{block_threads, 1, 1};
  dispatch(x.dtype, [&]<class T>(T) {
    if (reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0) {
      launch(square_sums_kernel<T, full<T>>, grid, block, x.as<T>(), x.size(), blocks.per_block, partial);
    } else {
      launch(square_sums_kernel<T, 1>, grid, block, x.as<T>(), x.size(), blocks.per_block, partial);
    }
  });
  launch(add_square_sums_kernel, Grid{}, block, partial, blocks.count, out);
}

}  // namespace unet::kernels::cuda
