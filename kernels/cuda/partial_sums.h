// Sums over many elements, the same bytes every time: every block leaves a partial sum of a stretch that the shape
// alone cuts, and a second kernel adds these in order. No floating-point atomics.
#pragma once

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {

/// `count` stretches of per_block items, the last one shorter; none for no items.
struct Cut {
  std::int64_t count = 0, per_block = 1;
};

/// At least `least` items each, a multiple of 64; at most `most` stretches.
inline Cut cut(std::int64_t items, std::int64_t least, std::int64_t most) {
  Cut out;
  const std::int64_t even = (items + most - 1) / most;
  out.per_block = ((least < even ? even : least) + 63) / 64 * 64;
  out.count = (items + out.per_block - 1) / out.per_block;
  return out;
}

/// The sum over a block of kBlockThreads x 1 threads, given to all of them. shared: [kBlockThreads].
template <class T>
__device__ inline T block_sum(T value, T* shared) {
  __syncthreads();  // the sum before this one has been read
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = kBlockThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  return shared[0];
}

inline constexpr int kColumnsAtOnce = 8;

/// store(g * width + e, the sum over b < count of partial[(g * count + b) * stride + e]), e < width; grid.y: the g.
template <class Store>
__global__ void __launch_bounds__(kBlockThreads)
    sum_columns_kernel(const double* partial, std::int64_t count, std::int64_t stride, std::int64_t width,
                       Store store) {
  __shared__ double sums[kBlockThreads];
  const std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * kColumnsAtOnce + threadIdx.x;
  const std::int64_t first = blockIdx.y * count;
  double sum = 0;
  if (e < width) {
    for (std::int64_t b = threadIdx.y; b < count; b += blockDim.y) sum += partial[(first + b) * stride + e];
  }
  const unsigned at = threadIdx.y * kColumnsAtOnce + threadIdx.x;
  sums[at] = sum;
  __syncthreads();
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) sums[at] += sums[at + half * kColumnsAtOnce];
    __syncthreads();
  }
  if (threadIdx.y == 0 && e < width) store(blockIdx.y * width + e, sums[at]);
}

template <class Store>
void sum_columns(const double* partial, std::int64_t groups, std::int64_t count, std::int64_t stride,
                 std::int64_t width, Store store) {
  const Grid grid{static_cast<unsigned>((width + kColumnsAtOnce - 1) / kColumnsAtOnce), static_cast<unsigned>(groups),
                  1};
  launch(sum_columns_kernel<Store>, grid, Grid{kColumnsAtOnce, kBlockThreads / kColumnsAtOnce, 1}, partial, count,
         stride, width, store);
}

template <class T>
struct StoreAt {
  T* out;
  __device__ void operator()(std::int64_t e, double sum) const { out[e] = static_cast<T>(sum); }
};

template <class T>
void sum_columns(const double* partial, std::int64_t groups, std::int64_t count, std::int64_t stride,
                 std::int64_t width, T* out) {
  sum_columns(partial, groups, count, stride, width, StoreAt<T>{out});
}

}  // namespace unet::kernels::cuda
