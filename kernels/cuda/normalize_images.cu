#include "kernels/normalize_images.h"

#include <algorithm>

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

constexpr int group = 8;  // channels of y that a thread writes: 16 bytes of bf16

/// y = byte * scale + shift; 0 for channels that the images do not have.
struct Affine {
  float scale[group], shift[group];
};

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    normalize_images_kernel(Affine affine, const std::uint8_t* images, std::int64_t Cin, std::int64_t pixels, int given,
                            int wanted, T* y, std::int64_t pitch) {
  const std::int64_t p = static_cast<std::int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (p >= pixels) return;
  float values[group];
#pragma unroll
  for (int c = 0; c < group; ++c) {
    values[c] = c < given ? static_cast<float>(images[p * Cin + c]) * affine.scale[c] + affine.shift[c] : 0.0f;
  }
#pragma unroll
  for (int c = 0; c < group; c += N) {
    float out[N];
#pragma unroll
    for (int k = 0; k < N; ++k) out[k] = values[c + k];
    if (c < wanted) store(y + p * pitch + c, out);
  }
}

}  // namespace

void normalize_images(const NormalizeSpec& spec, ConstView images, View y) {
  const std::int64_t pixels = images.pixels();
  const Grid grid{static_cast<unsigned>((pixels + kBlockThreads - 1) / kBlockThreads), 1, 1};
  dispatch(y.dtype, [&]<class T>(T) {
    for (std::int64_t first = 0; first < y.c(); first += group) {
      Affine affine{};
      const int given = static_cast<int>(std::clamp<std::int64_t>(images.c() - first, 0, group));
      for (int c = 0; c < given; ++c) {
        const auto channel = static_cast<std::size_t>(first + c);
        const double deviation = spec.deviation[channel];
        affine.scale[c] = static_cast<float>(1 / (255 * deviation));
        affine.shift[c] = static_cast<float>(-spec.mean[channel] / deviation);
      }
      const int wanted = static_cast<int>(std::min<std::int64_t>(y.c() - first, group));
      with_chunks<full<T>>(
          [&](auto N) {
            launch(normalize_images_kernel<T, decltype(N)::value>, grid, Grid{kBlockThreads, 1, 1}, affine,
                   images.as<std::uint8_t>() + (given > 0 ? first : 0), images.c(), pixels, given, wanted,
                   y.as<T>() + first, y.pitch);
          },
          y);
    }
  });
}

}  // namespace unet::kernels::cuda
