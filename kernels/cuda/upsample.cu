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
  float steps, inverse;  // 2S - 1, and 1 / (2S - 1) rounded

  Axis(std::int64_t of, bool corners)
      : size(static_cast<int>(of)),
        align_corners(corners),
        steps(static_cast<float>(2 * of - 1)),
        inverse(1 / static_cast<float>(2 * of - 1)) {}

  /// whole / (2S - 1), rounded once (Markstein 1990: a quotient corrected by its exact remainder), without the branches
  /// of a division.
  __device__ float share(int whole) const {
    const auto a = static_cast<float>(whole);
    const float q = a * inverse;
    return fmaf(fmaf(-q, steps, a), inverse, q);
  }
  /// The weight of the second neighbour.
  __device__ float of_even(int k) const { return align_corners ? share(2 * size - 1 - k) : 0.75f; }
  __device__ float of_odd(int k) const { return align_corners ? share(size - 1 - k) : 0.25f; }
};

/// What lies between input i - 1 and input i of an axis, i = 0..S: the outputs 2i - 1 and 2i, which are both
/// (1 - weight) * in[first] + weight * in[second]. At the edges one of them is not there.
struct Gap {
  int first, second;
  float weight[2];
  bool there[2];
};

__device__ inline Gap gap_of(const Axis& axis, int i) {
  const int last = axis.size - 1;
  return {max(i - 1, 0), min(max(i, 1), last), {axis.of_odd(i - 1), i == 0 ? 0 : axis.of_even(i)}, {i > 0, i <= last}};
}

/// What input `in` gives to the outputs 2 * in - 1 + j, j = 0..3; 0 for those that are not there.
__device__ inline void weights_of(const Axis& axis, int in, float (&weight)[4]) {
  const bool last = in == axis.size - 1;
  weight[0] = in == 0 ? 0 : axis.of_odd(in - 1);
  weight[1] = in == 0 ? 1 : axis.of_even(in);
  weight[2] = last ? 1 : 1 - axis.of_odd(in);
  weight[3] = last ? 0 : 1 - axis.of_even(in + 1);
}

/// y [N, 2H, 2W, C] from x [N,H,W,C]; rows, columns: the axes of x. An item is the meeting of a gap between rows with
/// one between columns: four pixels of y from the same four of x.
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    upsample_forward_kernel(const T* x, std::int64_t x_pitch, Axis rows, Axis columns, T* y, std::int64_t y_pitch,
                            int items, int chunks, int per_block) {
  const int chunk = own_chunk();
  if (chunk >= chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), items, per_block);
  for (int p = range.begin + static_cast<int>(threadIdx.y); p < range.end; p += static_cast<int>(blockDim.y)) {
    const int row = p / (columns.size + 1), j = p - row * (columns.size + 1);
    const int image = row / (rows.size + 1), i = row - image * (rows.size + 1);
    const Gap h = gap_of(rows, i), w = gap_of(columns, j);
    const auto at = [&](int in_h, int in_w) {
      const std::int64_t pixel = (static_cast<std::int64_t>(image) * rows.size + in_h) * columns.size + in_w;
      return load<N>(x + pixel * x_pitch + chunk * N);
    };
    const Chunk<T, N> in[4] = {at(h.first, w.first), at(h.first, w.second), at(h.second, w.first),
                               at(h.second, w.second)};
    const std::int64_t first = ((std::int64_t{2} * image * rows.size + 2 * i - 1) * 2 * columns.size) + 2 * j - 1;
#pragma unroll
    for (int v = 0; v < 2; ++v) {
#pragma unroll
      for (int u = 0; u < 2; ++u) {
        const float a = 1 - h.weight[v], b = 1 - w.weight[u];
        const float weight[4] = {a * b, a * w.weight[u], h.weight[v] * b, h.weight[v] * w.weight[u]};
        float out[N];
#pragma unroll
        for (int k = 0; k < N; ++k) {
          out[k] = weight[0] * in[0][k];
#pragma unroll
          for (int t = 1; t < 4; ++t) out[k] = fmaf(weight[t], in[t][k], out[k]);
        }
        if (h.there[v] && w.there[u]) store(y + (first + v * 2 * columns.size + u) * y_pitch + chunk * N, out);
      }
    }
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
    const int row = p / columns.size, w = p - row * columns.size, image = row / rows.size, h = row - image * rows.size;
    float down[4], across[4];
    weights_of(rows, h, down);
    weights_of(columns, w, across);
    // What is not there has weight 0, and is its neighbour that is: all loads are made, and none waits for a branch.
    const auto there = [](int out, const Axis& axis) { return min(max(out, 0), 2 * axis.size - 1); };
    float sum[N] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::int64_t line = (std::int64_t{2} * image * rows.size + there(2 * h - 1 + i, rows)) * 2 * columns.size;
      Chunk<T, N> in[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        in[j] = load<N>(dy + (line + there(2 * w - 1 + j, columns)) * dy_pitch + chunk * N);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] = fmaf(down[i] * across[j], in[j][k], sum[k]);
      }
    }
    store(dx + p * dx_pitch + chunk * N, sum);
  }
}

/// small: the image of H x W, of which the axes are.
template <class Launch>
void by_chunks(ConstView in, View out, const Extent& small, std::int64_t items, bool align_corners, Launch&& body) {
  dispatch(in.dtype, [&]<class T>(T type) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          const Axis rows(small.h(), align_corners), columns(small.w(), align_corners);
          body(type, lanes, tile(items, out.c() / decltype(lanes)::value, 1), rows, columns);
        },
        in, out);
  });
}

}  // namespace

void upsample_bilinear_forward(ConstView x, bool align_corners, View y) {
  require_countable(y.pixels());
  by_chunks(x, y, x, x.n() * (x.h() + 1) * (x.w() + 1), align_corners,
            [&]<class T>(T, auto lanes, const Tile& cut, Axis rows, Axis columns) {
              launch(upsample_forward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, x.as<T>(), x.pitch, rows,
                     columns, y.as<T>(), y.pitch, cut.items, cut.chunks, cut.per_block);
            });
}

void upsample_bilinear_backward(ConstView dy, bool align_corners, View dx) {
  by_chunks(dy, dx, dx, dx.pixels(), align_corners,
            [&]<class T>(T, auto lanes, const Tile& cut, Axis rows, Axis columns) {
              launch(upsample_backward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, dy.as<T>(), dy.pitch,
                     rows, columns, dx.as<T>(), dx.pitch, cut.items, cut.chunks, cut.per_block);
            });
}

}  // namespace unet::kernels::cuda
