#include "kernels/pad.h"

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

struct Image {
  int H, W;
  std::int64_t pitch;
};

template <class View>
Image image_of(const View& view) {
  return {static_cast<int>(view.h()), static_cast<int>(view.w()), view.pitch};
}

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    pad_kernel(const T* x, Image from, T* y, Image to, int pixels, int chunks, int per_block) {
  const int chunk = own_chunk();
  if (chunk >= chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += static_cast<int>(blockDim.y)) {
    const int row = p / to.W, w = p % to.W, h = row % to.H;
    const std::int64_t n = row / to.H;
    Chunk<T, N> value{};
    if (h < from.H && w < from.W) value = load<N>(x + ((n * from.H + h) * from.W + w) * from.pitch + chunk * N);
    store(y + p * to.pitch + chunk * N, value);
  }
}

}  // namespace

void pad_or_crop(ConstView x, View y) {
  dispatch(y.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          const Tile cut = tile(y.pixels(), y.c() / N, 1);
          launch(pad_kernel<T, N>, cut.grid, cut.block, x.as<T>(), image_of(x), y.as<T>(), image_of(y), cut.items,
                 cut.chunks, cut.per_block);
        },
        x, y);
  });
}

}  // namespace unet::kernels::cuda
