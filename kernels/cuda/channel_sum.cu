#include "kernels/channel_sum.h"

#include <algorithm>

#include "kernels/cuda/reduce.h"

namespace unet::kernels::cuda {
namespace {

constexpr int unroll = 4;

/// partials [grid.x][channels]
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    channel_sum_kernel(const T* x, std::int64_t pitch, int pixels, int chunks, int per_block, float* partials) {
  __shared__ float memory[N][kBlockThreads];
  const int chunk = own_chunk();
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  const int down = static_cast<int>(blockDim.y);
  float sums[N] = {};
  if (chunk < chunks) {
    for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += unroll * down) {
      Chunk<T, N> in[unroll];
#pragma unroll
      for (int u = 0; u < unroll; ++u) in[u] = load<N>(x + min(p + u * down, range.end - 1) * pitch + chunk * N);
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        if (p + u * down >= range.end) continue;
#pragma unroll
        for (int k = 0; k < N; ++k) sums[k] += in[u][k];
      }
    }
  }
  leave_partials(sums, memory, chunk, chunks, partials);
}

}  // namespace

std::size_t channel_sum_scratch(ConstView x) {
  std::size_t bytes = 0;
  dispatch(x.dtype, [&]<class T>(T) {
    const auto most = std::max(reducing_tile(x.pixels(), x.c(), unroll).grid.x,
                               reducing_tile(x.pixels(), x.c() / full<T>, unroll).grid.x);
    bytes = static_cast<std::size_t>(most) * static_cast<std::size_t>(x.c()) * sizeof(float);
  });
  return bytes;
}

void channel_sum(ConstView x, View out, void* scratch) {
  auto* const partials = static_cast<float*>(scratch);
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          const Tile cut = reducing_tile(x.pixels(), x.c() / N, unroll);
          launch(channel_sum_kernel<T, N>, cut.grid, cut.block, x.as<T>(), x.pitch, cut.items, cut.chunks,
                 cut.per_block, partials);
          combine_partials(cut, x.c(), partials, out.as<float>());
        },
        x);
  });
}

}  // namespace unet::kernels::cuda
