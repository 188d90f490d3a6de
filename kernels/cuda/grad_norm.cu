#include "kernels/grad_norm.h"

#include "kernels/cuda/parts.h"
#include "kernels/cuda/square_sums.h"

namespace unet::kernels::cuda {
namespace {

Parts cut_of(const Ranges& x) { return parts_of(x, 16384, 2048); }

/// aligned: both parts can be read 16 bytes at a time.
template <bool aligned>
__global__ void __launch_bounds__(kBlockThreads) square_sums_kernel(Parts parts, SquareSum* out) {
  __shared__ double sums[kBlockThreads];
  __shared__ std::int64_t firsts[kBlockThreads];
  double sum = 0;
  std::int64_t first = kNoElement;
  with_part(parts, blockIdx.x, [&]<class T>(const T* x, std::int64_t begin, std::int64_t end, std::int64_t offset) {
    constexpr int N = aligned ? full<T> : 1;
    const auto take = [&](float value, std::int64_t at) {
      sum += static_cast<double>(value) * static_cast<double>(value);
      if (!isfinite(value)) first = min(first, offset + at);
    };
    std::int64_t i = begin + threadIdx.x * N;
#pragma unroll 4
    for (; i + N <= end; i += kBlockThreads * N) {
      const Chunk<T, N> values = load<N>(x + i);
#pragma unroll
      for (int k = 0; k < N; ++k) take(values[k], i + k);
    }
    for (; i < end; ++i) take(to_float(x[i]), i);  // the last few, fewer than N, are one thread's
  });
  const SquareSum of_block = block_total({sum, first}, sums, firsts);
  if (threadIdx.x == 0) out[blockIdx.x] = of_block;
}

}  // namespace

std::int64_t square_sums(const Ranges& x) { return cut_of(x).blocks(); }

void sum_of_squares(const Ranges& x, SquareSum* sums) {
  const Parts parts = cut_of(x);
  const Grid grid{parts.blocks(), 1, 1}, block{kBlockThreads, 1, 1};
  const auto aligned = [](const Part& part) { return reinterpret_cast<std::uintptr_t>(part.data) % 16 == 0; };
  if (aligned(parts.first) && aligned(parts.second)) {
    launch(square_sums_kernel<true>, grid, block, parts, sums);
  } else {
    launch(square_sums_kernel<false>, grid, block, parts, sums);
  }
}

}  // namespace unet::kernels::cuda
