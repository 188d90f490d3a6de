// Along an axis of S inputs, with k = out / 2, both kinds of alignment take neighbours k - 1 and k for an even output
// and k and k + 1 for an odd one; only the weight of the second differs:
//   align_corners:  out * (S - 1) / (2S - 1) = k - k / (2S - 1)  or  k + (S - 1 - k) / (2S - 1)
//   otherwise:      (out + 0.5) / 2 - 0.5    = k - 1/4           or  k + 1/4
// So input i feeds the outputs 2i - 1, ..., 2i + 2 and no others. Weights are quotients of whole numbers, rounded once.
#include "kernels/upsample.h"

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

struct Axis {
  int size;  // S
  bool align_corners;

  /// The weight of the second neighbour.
  __device__ float of_even(int k) const {
    return align_corners ? static_cast<float>(2 * size - 1 - k) / static_cast<float>(2 * size - 1) : 0.75f;
  }
  __device__ float of_odd(int k) const {
    return align_corners ? static_cast<float>(size - 1 - k) / static_cast<float>(2 * size - 1) : 0.25f;
  }
};

/// out = (1 - second_weight) * in[first] + second_weight * in[second]
struct Taps {
  int first, second;
  float second_weight;
};

__device__ inline Taps taps_of(const Axis& axis, int out) {
  const int k = out / 2;
  if (out % 2 != 0) return {k, min(k + 1, axis.size - 1), axis.of_odd(k)};
  return k == 0 ? Taps{0, min(1, axis.size - 1), 0} : Taps{k - 1, k, axis.of_even(k)};
}

/// What input `in` gives to the outputs 2 * in - 1 + j, j = 0..3; 0 for those that are not there.
__device__ inline void weights_of(const Axis& axis, int in, float (&weight)[4]) {
  const bool last = in == axis.size - 1;
  weight[0] = in == 0 ? 0 : axis.of_odd(in - 1);
  weight[1] = in == 0 ? 1 : axis.of_even(in);
  weight[2] = last ? 1 : 1 - axis.of_odd(in);
  weight[3] = last ? 0 : 1 - axis.of_even(in + 1);
}

/// y [N, 2H, 2W, C] from x [N,H,W,C]; rows, columns: the axes of x.
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    upsample_forward_kernel(const T* x, std::int64_t x_pitch, Axis rows, Axis columns, T* y, std::int64_t y_pitch,
                            int pixels, int chunks, int per_block) {
  const int chunk = own_chunk();
  if (chunk >= chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += static_cast<int>(blockDim.y)) {
    const int row = p / (2 * columns.size);
    const Taps h = taps_of(rows, row % (2 * rows.size)), w = taps_of(columns, p % (2 * columns.size));
    const int image = row / (2 * rows.size) * rows.size;  // its first row
    const auto at = [&](int in_h, int in_w) {
      return load<N>(x + (static_cast<std::int64_t>(image + in_h) * columns.size + in_w) * x_pitch + chunk * N);
    };
    const Chunk<T, N> in[4] = {at(h.first, w.first), at(h.first, w.second), at(h.second, w.first),
                               at(h.second, w.second)};
    const float a = 1 - h.second_weight, b = 1 - w.second_weight;
    const float weight[4] = {a * b, a * w.second_weight, h.second_weight * b, h.second_weight * w.second_weight};
    float out[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      out[k] = weight[0] * in[0][k];
#pragma unroll
      for (int i = 1; i < 4; ++i) out[k] = fmaf(weight[i], in[i][k], out[k]);
    }
    store(y + p * y_pitch + chunk * N, out);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    upsample_backward_kernel(const T* dy, std::int64_t dy_pitch, Axis rows, Axis columns, T* dx, std::int64_t dx_pitch,
                             int pixels, int chunks, int per_block) {
  const int chunk = own_chunk();
  if (chunk >= chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), pixels, per_block);
  for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += static_cast<int>(blockDim.y)) {
    const int row = p / columns.size, w = p % columns.size;
    float down[4], across[4];
    weights_of(rows, row % rows.size, down);
    weights_of(columns, w, across);
    float sum[N] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (down[i] == 0) continue;
      const std::int64_t line = (std::int64_t{2} * row - 1 + i) * 2 * columns.size;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (across[j] == 0) continue;
        const Chunk<T, N> in = load<N>(dy + (line + 2 * w - 1 + j) * dy_pitch + chunk * N);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] = fmaf(down[i] * across[j], in[k], sum[k]);
      }
    }
    store(dx + p * dx_pitch + chunk * N, sum);
  }
}

/// small: the image of H x W, of which the axes are.
template <class Launch>
void by_chunks(ConstView in, View out, const Extent& small, bool align_corners, Launch&& body) {
  dispatch(in.dtype, [&]<class T>(T type) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          const Axis rows{static_cast<int>(small.h()), align_corners},
              columns{static_cast<int>(small.w()), align_corners};
          body(type, lanes, tile(out.pixels(), out.c() / decltype(lanes)::value, 1), rows, columns);
        },
        in, out);
  });
}

}  // namespace

void upsample_bilinear_forward(ConstView x, bool align_corners, View y) {
  by_chunks(x, y, x, align_corners, [&]<class T>(T, auto lanes, const Tile& cut, Axis rows, Axis columns) {
    launch(upsample_forward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, x.as<T>(), x.pitch, rows, columns,
           y.as<T>(), y.pitch, cut.items, cut.chunks, cut.per_block);
  });
}

void upsample_bilinear_backward(ConstView dy, bool align_corners, View dx) {
  by_chunks(dy, dx, dx, align_corners, [&]<class T>(T, auto lanes, const Tile& cut, Axis rows, Axis columns) {
    launch(upsample_backward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, dy.as<T>(), dy.pitch, rows,
           columns, dx.as<T>(), dx.pitch, cut.items, cut.chunks, cut.per_block);
  });
}

}  // namespace unet::kernels::cuda
