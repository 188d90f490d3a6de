// y[i] = f(x0[i], x1[i], ...) over tensors of one shape, each with its own pitch.
#pragma once

#include <algorithm>

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {

/// An operand as the kernel sees it. Not __restrict__: y may be one of the x.
template <class T>
struct Operand {
  T* data;
  std::int64_t pitch;
};

inline constexpr int kMapUnroll = 4;

/// A thread treats chunks of N elements, of kMapUnroll pixels at a time so that their loads are in flight together.
template <class F, int N, class TY, class... TX>
__global__ void __launch_bounds__(kBlockThreads)
    map_kernel(F f, int pixels, int chunks, int per_block, Operand<TY> y, Operand<const TX>... x) {
  const int chunk = own_chunk();
  if (chunk >= chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  const int down = static_cast<int>(blockDim.y);
  for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += kMapUnroll * down) {
    Chunk<TY, N> out[kMapUnroll];
    // Past the end the last pixel is read again: a load without a branch before it can be in flight with the others.
    [[maybe_unused]] const auto readable = [&](int u) {
      return static_cast<std::int64_t>(min(p + u * down, range.end - 1));
    };
    const auto of = [&](const Chunk<TX, N>&... in) {
      float values[N];
#pragma unroll
      for (int k = 0; k < N; ++k) values[k] = f(in[k]...);
      return Chunk<TY, N>::of(values);
    };
#pragma unroll
    for (int u = 0; u < kMapUnroll; ++u) out[u] = of(load<N>(x.data + readable(u) * x.pitch + chunk * N)...);
#pragma unroll
    for (int u = 0; u < kMapUnroll; ++u) {
      const int at = p + u * down;
      if (at < range.end) store(y.data + at * y.pitch + chunk * N, out[u]);
    }
  }
}

/// Launches f over `pixels` pixels of `channels` channels.
template <int N, class F, class TY, class... TX>
void launch_map(F f, std::int64_t pixels, std::int64_t channels, Operand<TY> y, Operand<const TX>... x) {
  const Tile cut = tile(pixels, channels / N, kMapUnroll);
  launch(map_kernel<F, N, TY, TX...>, cut.grid, cut.block, f, cut.items, cut.chunks, cut.per_block, y, x...);
}

/// f(float, ...) -> float, a __device__ operator() of a struct. Dtypes as the template says, shapes equal.
template <class TY, class... TX, class F, class... Views>
void map(F f, View y, const Views&... x) {
  constexpr int lanes = std::min({full<TY>, full<TX>...});
  if ((y.dense() && ... && x.dense())) {
    // One long row, cut into pixels of our own; what is left over goes one by one.
    const auto aligned = [](const ConstView& view) { return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0; };
    const auto rows = [&](auto N) {
      constexpr std::int64_t row = 32 * decltype(N)::value;
      const std::int64_t size = y.size();
      const std::int64_t head = size / row * row;
      launch_map<decltype(N)::value>(f, head / row, row, Operand<TY>{y.template as<TY>(), row},
                                     Operand<const TX>{x.template as<TX>(), row}...);
      launch_map<1>(f, size > head ? 1 : 0, size - head, Operand<TY>{y.template as<TY>() + head, 0},
                    Operand<const TX>{x.template as<TX>() + head, 0}...);
    };
    if ((aligned(y) && ... && aligned(x))) {
      rows(std::integral_constant<int, lanes>{});
    } else {
      rows(std::integral_constant<int, 1>{});
    }
    return;
  }
  with_chunks<lanes>(
      [&](auto N) {
        launch_map<decltype(N)::value>(f, y.pixels(), y.c(), Operand<TY>{y.as<TY>(), y.pitch},
                                       Operand<const TX>{x.template as<TX>(), x.pitch}...);
      },
      y, x...);
}

}  // namespace unet::kernels::cuda
