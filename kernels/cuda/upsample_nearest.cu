#include "kernels/upsample_nearest.h"

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

/// The small image's pixels [.,.,W,.], each with four of the large one.
struct Fours {
  int W;
  int pixels, per_block, chunks;
};

/// Calls body(pixel, the upper left of its four, first channel) for every pixel and chunk of this thread. The large
/// image's rows are 2 W pixels long.
template <int N, class Body>
__device__ inline void for_fours(const Fours& fours, Body&& body) {
  if (own_chunk() >= fours.chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), fours.pixels, fours.per_block);
  for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += static_cast<int>(blockDim.y)) {
    const std::int64_t row = p / fours.W;
    body(p, row * 4 * fours.W + 2 * (p % fours.W), own_chunk() * N);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    upsample_nearest_forward_kernel(Fours fours, const T* x, std::int64_t x_pitch, T* y, std::int64_t y_pitch) {
  for_fours<N>(fours, [&](std::int64_t pixel, std::int64_t four, int channel) {
    const Chunk<T, N> value = load<N>(x + pixel * x_pitch + channel);
#pragma unroll
    for (int i = 0; i < 4; ++i) store(y + (four + i / 2 * 2 * fours.W + i % 2) * y_pitch + channel, value);
  });
}

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    upsample_nearest_backward_kernel(Fours fours, const T* dy, std::int64_t dy_pitch, T* dx, std::int64_t dx_pitch) {
  for_fours<N>(fours, [&](std::int64_t pixel, std::int64_t four, int channel) {
    Chunk<T, N> in[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) in[i] = load<N>(dy + (four + i / 2 * 2 * fours.W + i % 2) * dy_pitch + channel);
    float sum[N];
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] = (in[0][k] + in[1][k]) + (in[2][k] + in[3][k]);
    store(dx + pixel * dx_pitch + channel, sum);
  });
}

/// Calls body(T{}, std::integral_constant<int, N>, tile, fours).
template <class Body>
void by_chunks(ConstView from, View to, const Extent& small, Body&& body) {
  dispatch(from.dtype, [&]<class T>(T type) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          require_countable(4 * small.pixels());
          const Tile cut = tile(small.pixels(), small.c() / decltype(lanes)::value, 2);
          body(type, lanes, cut, Fours{static_cast<int>(small.w()), cut.items, cut.per_block, cut.chunks});
        },
        from, to);
  });
}

}  // namespace

void upsample_nearest_forward(ConstView x, View y) {
  by_chunks(x, y, x, [&]<class T>(T, auto lanes, const Tile& cut, const Fours& fours) {
    launch(upsample_nearest_forward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, fours, x.as<T>(), x.pitch,
           y.as<T>(), y.pitch);
  });
}

void upsample_nearest_backward(ConstView dy, View dx) {
  by_chunks(dy, dx, dx, [&]<class T>(T, auto lanes, const Tile& cut, const Fours& fours) {
    launch(upsample_nearest_backward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, fours, dy.as<T>(),
           dy.pitch, dx.as<T>(), dx.pitch);
  });
}

}  // namespace unet::kernels::cuda
