// With X [pixels, Cin], W [Cin, 4*Cout] and the four neighbours of a pixel of x in y side by side, G [pixels, 4*Cout]:
//   forward G = X W, then scattered into y with the bias;  backward dX = G W^T,  dW = X^T G,  G gathered from dy once,
//   by a kernel that leaves partial sums of what it reads: the bias's gradient.
#include "kernels/conv_transpose.h"

#include <algorithm>

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/reduce.h"

namespace unet::kernels::cuda {
namespace {

constexpr int unroll = 4;  // items of a thread whose loads are in flight together

/// A row of G is one pixel of x; quarter (i,j) of it is the pixel (2h+i, 2w+j) of y. Items are the quarters, in the
/// order of G.
struct Places {
  int W;               // of x
  std::int64_t pitch;  // of y

  __device__ std::int64_t in_image(int item) const {
    const int p = item / 4, row = p / W, w = p - row * W;  // row: n * H + h
    return ((2 * row + item % 4 / 2) * 2 * W + 2 * w + item % 2) * pitch;
  }
};

/// image = matrix + bias
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    scatter_kernel(const T* __restrict__ matrix, const float* __restrict__ bias, T* __restrict__ image, Places places,
                   int items, int chunks, int per_block) {
  const int chunk = own_chunk();
  if (chunk >= chunks) return;
  float add[N] = {};
  if (bias != nullptr) {
#pragma unroll
    for (int k = 0; k < N; ++k) add[k] = bias[chunk * N + k];
  }
  const Range range = items_of(static_cast<int>(blockIdx.x), items, per_block);
  const int down = static_cast<int>(blockDim.y);
  for (int i = range.begin + static_cast<int>(threadIdx.y); i < range.end; i += unroll * down) {
    Chunk<T, N> in[unroll];
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      const std::int64_t readable = min(i + u * down, range.end - 1);
      in[u] = load<N>(matrix + (readable * chunks + chunk) * N);
    }
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (i + u * down >= range.end) continue;
      float out[N];
#pragma unroll
      for (int k = 0; k < N; ++k) out[k] = in[u][k] + add[k];
      store(image + places.in_image(i + u * down) + chunk * N, out);
    }
  }
}

/// matrix = image; partials, if wanted: [grid.x][Cout], the sums of what a block has read.
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    gather_kernel(const T* __restrict__ image, T* __restrict__ matrix, float* __restrict__ partials, Places places,
                  int items, int chunks, int per_block) {
  __shared__ float memory[N][kBlockThreads];
  const int chunk = own_chunk();
  const Range range = items_of(static_cast<int>(blockIdx.x), items, per_block);
  const int down = static_cast<int>(blockDim.y);
  float sums[N] = {};
  if (chunk < chunks) {
    for (int i = range.begin + static_cast<int>(threadIdx.y); i < range.end; i += unroll * down) {
      Chunk<T, N> in[unroll];
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        in[u] = load<N>(image + places.in_image(min(i + u * down, range.end - 1)) + chunk * N);
      }
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        if (i + u * down >= range.end) continue;
        store(matrix + (std::int64_t{i + u * down} * chunks + chunk) * N, in[u]);
#pragma unroll
        for (int k = 0; k < N; ++k) sums[k] += in[u][k];
      }
    }
  }
  if (partials == nullptr) return;
  leave_partials(sums, memory, chunk, chunks, partials);
}

Places places_in(const Extent& image) { return {static_cast<int>(image.w() / 2), image.pitch}; }

Tile gathering_tile(std::int64_t items, std::int64_t chunks) { return reducing_tile(items, chunks, unroll); }

/// dy as G; its sums over pixels into dbias, if wanted, by way of `partials`.
void gather(ConstView dy, void* matrix, View dbias, void* partials) {
  dispatch(dy.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          const Tile cut = gathering_tile(dy.pixels(), dy.c() / N);
          auto* const sums = dbias ? static_cast<float*>(partials) : nullptr;
          launch(gather_kernel<T, N>, cut.grid, cut.block, dy.as<T>(), static_cast<T*>(matrix), sums, places_in(dy),
                 cut.items, cut.chunks, cut.per_block);
          if (dbias) combine_partials(cut, dy.c(), sums, dbias.as<float>());
        },
        dy);
  });
}

std::size_t matrix_bytes(std::int64_t pixels, std::int64_t Cout, Dtype dtype) {
  return (static_cast<std::size_t>(pixels * 4 * Cout) * size_of(dtype) + 255) / 256 * 256;
}

}  // namespace

void conv_transpose_forward(ConstView x, ConstView weights, ConstView bias, View y, void* scratch, bool tf32) {
  const std::int64_t pixels = x.pixels(), Cin = x.c(), Cout = y.c();
  void* const workspace = static_cast<char*>(scratch) + matrix_bytes(pixels, Cout, x.dtype);
  gemm({pixels, 4 * Cout, Cin, false, false, tf32}, x.data, weights.data, x.dtype, scratch, x.dtype, workspace);
  dispatch(y.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          const Tile cut = tile(y.pixels(), Cout / N, unroll);
          launch(scatter_kernel<T, N>, cut.grid, cut.block, static_cast<const T*>(scratch), bias.as<float>(), y.as<T>(),
                 places_in(y), cut.items, cut.chunks, cut.per_block);
        },
        y);
  });
}

void conv_transpose_backward(ConstView x, ConstView weights, ConstView dy, View dx, View dweights, View dbias,
                             void* scratch, bool tf32) {
  const std::int64_t pixels = x.pixels(), Cin = x.c(), Cout = dy.c();
  void* const workspace = static_cast<char*>(scratch) + matrix_bytes(pixels, Cout, dy.dtype);
  gather(dy, scratch, dbias, workspace);
  if (dweights) {
    gemm({Cin, 4 * Cout, pixels, true, false, tf32}, x.data, scratch, x.dtype, dweights.data, dweights.dtype,
         workspace);
  }
  if (dx)
    gemm({pixels, Cin, 4 * Cout, false, true, tf32}, scratch, weights.data, dy.dtype, dx.data, dx.dtype, workspace);
}

std::size_t conv_transpose_scratch(ConstView x, std::int64_t Cout) {
  // The partial sums are added up before the first product needs its workspace, which begins where they do.
  std::size_t behind = kGemmWorkspace;
  for (const std::int64_t lanes : {std::int64_t{1}, 16 / static_cast<std::int64_t>(size_of(x.dtype))}) {
    const auto blocks = static_cast<std::size_t>(gathering_tile(4 * x.pixels(), Cout / lanes).grid.x);
    behind = std::max(behind, blocks * static_cast<std::size_t>(Cout) * sizeof(float));
  }
  return matrix_bytes(x.pixels(), Cout, x.dtype) + behind;
}

}  // namespace unet::kernels::cuda
