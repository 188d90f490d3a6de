// What the kernels that make and add SquareSums (kernels/grad_norm.h) share.
#pragma once

#include "kernels/cuda/partial_sums.h"
#include "kernels/grad_norm.h"

namespace unet::kernels::cuda {

/// `first_bad` while a block still adds, so that the smallest wins.
inline constexpr std::int64_t kNoElement = INT64_MAX;

__device__ inline std::int64_t block_min(std::int64_t value, std::int64_t* shared) {
  __syncthreads();
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = kBlockThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] = min(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  return shared[0];
}

/// The threads' sums and, smallest first, elements (or kNoElement) as one, given to all of them. shared:
/// [kBlockThreads].
__device__ inline SquareSum block_total(SquareSum own, double* shared_sums, std::int64_t* shared_firsts) {
  const double sum = block_sum(own.sum, shared_sums);
  const std::int64_t first = block_min(own.first_bad, shared_firsts);
  return {sum, first == kNoElement ? -1 : first};
}

}  // namespace unet::kernels::cuda
