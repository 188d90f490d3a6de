// With X [pixels, Cin], W [Cin, 4*Cout] and the four neighbours of a pixel of x in y side by side, G [pixels, 4*Cout]:
//   forward G = X W, then shuffled into y with the bias;  backward dX = G W^T,  dW = X^T G,  G gathered from dy.
#include "kernels/conv_transpose.h"

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

/// A row of G is one pixel of x; quarter (i,j) of it is the pixel (2h+i, 2w+j) of y.
struct Places {
  std::int64_t W, pitch;  // of x; of y

  /// Element (pixel p of x, quarter q, channel c) in y.
  __device__ std::int64_t in_image(std::int64_t p, std::int64_t q, std::int64_t c) const {
    const std::int64_t row = p / W, w = p - row * W;  // row: n * H + h
    return ((2 * row + q / 2) * 2 * W + 2 * w + q % 2) * pitch + c;
  }
};

/// to_image: y = G + bias; else G = dy. chunks: of a quarter.
template <class T, int N, bool to_image>
__global__ void __launch_bounds__(block_threads)
    shuffle_kernel(T* matrix, T* image, const float* bias, Places places, std::int64_t quarters, std::int64_t chunks,
                   std::int64_t per_block) {
  const std::int64_t chunk = own_chunk();
  if (chunk >= chunks) return;
  float add[N] = {};
  if (to_image && bias != nullptr) {
#pragma unroll
    for (int k = 0; k < N; ++k) add[k] = bias[chunk * N + k];
  }
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, quarters);
#pragma unroll 4
  for (std::int64_t i = begin + threadIdx.y; i < end; i += blockDim.y) {
    T* const in_matrix = matrix + (i * chunks + chunk) * N;
    T* const in_image = image + places.in_image(i / 4, i % 4, chunk * N);
    if (to_image) {
      const Chunk<T, N> in = load<N>(in_matrix);
      float out[N];
#pragma unroll
      for (int k = 0; k < N; ++k) out[k] = in[k] + add[k];
      store(in_image, out);
    } else {
      store(in_matrix, load<N>(in_image));
    }
  }
}

std::size_t matrix_bytes(std::int64_t pixels, std::int64_t Cout, Dtype dtype) {
  return (static_cast<std::size_t>(pixels * 4 * Cout) * size_of(dtype) + 255) / 256 * 256;
}

template <bool to_image>
void shuffle(std::int64_t width, View image, ConstView bias, void* matrix) {
  const std::int64_t Cout = image.c();
  dispatch(image.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto N) {
          const Tile cut = tile(image.pixels(), Cout / decltype(N)::value, 4);
          launch(shuffle_kernel<T, decltype(N)::value, to_image>, cut.grid, cut.block, static_cast<T*>(matrix),
                 image.as<T>(), bias.as<float>(), Places{width, image.pitch}, cut.items, cut.chunks, cut.per_block);
        },
        image);
  });
}

/// dy as G in the scratch; returns the scratch behind it.
void* gather(ConstView dy, void* matrix) {
  View image;
  static_cast<Extent&>(image) = dy;
  image.data = const_cast<void*>(dy.data);  // one kernel moves in both directions; here it only reads the image
  shuffle<false>(dy.w() / 2, image, {}, matrix);
  return static_cast<char*>(matrix) + matrix_bytes(dy.pixels() / 4, dy.c(), dy.dtype);
}

bool tf32 = false;

}  // namespace

void allow_tf32_in_conv_transpose(bool allowed) { tf32 = allowed; }

void conv_transpose_forward(ConstView x, ConstView weights, ConstView bias, View y, void* scratch) {
  const std::int64_t pixels = x.pixels(), Cin = x.c(), Cout = y.c();
  void* const workspace = static_cast<char*>(scratch) + matrix_bytes(pixels, Cout, x.dtype);
  gemm({pixels, 4 * Cout, Cin, false, false, tf32}, x.data, weights.data, x.dtype, scratch, x.dtype, workspace);
  shuffle<true>(x.w(), y, bias, scratch);
}

void conv_transpose_backward_data(ConstView dy, ConstView weights, View dx, void* scratch) {
  void* const workspace = gather(dy, scratch);
  gemm({dx.pixels(), dx.c(), 4 * dy.c(), false, true, tf32}, scratch, weights.data, dy.dtype, dx.data, dx.dtype,
       workspace);
}

void conv_transpose_backward_weights(ConstView x, ConstView dy, View dweights, void* scratch) {
  void* const workspace = gather(dy, scratch);
  gemm({x.c(), 4 * dy.c(), x.pixels(), true, false, tf32}, x.data, scratch, x.dtype, dweights.data, dweights.dtype,
       workspace);
}

std::size_t conv_transpose_scratch(ConstView x, std::int64_t Cout) {
  return matrix_bytes(x.pixels(), Cout, x.dtype) + gemm_workspace;
}

}  // namespace unet::kernels::cuda
