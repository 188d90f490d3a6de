// Copies between NHWC tensors and the packed blocks of isa/gemm.h: rows of the implicit im2col matrix, and weights.
#pragma once

#include "kernels/cpu/isa/gemm.h"
#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// The implicit matrix whose row m = (n, gh, gw) walks over a grid [N, grid_h, grid_w] of pixels and whose column
/// k = (i, j, c) walks over taps_h x taps_w taps and C channels:
///   value = src[n, gh*step + h0 + i, gw*step + w0 + j, c], zero outside [0,H) x [0,W).
template <class T>
struct Gather {
  const T* src;
  std::int64_t H, W, C, pitch;
  std::int64_t grid_h, grid_w, step;
  std::int64_t taps_h, taps_w, h0, w0;
};

/// T: how activations are stored; packed blocks, weights and their gradients are of the type it is computed in.
template <class T>
struct ConvPackLoops {
  using A = Compute<T>;

  /// Rows [m0, m1) and columns [k0, k1) into dst, a row every `stride` elements. Zeros follow: up to row_pad rows and
  /// up to col_pad columns in all (0: none).
  void (*gather)(const Gather<T>&, std::int64_t m0, std::int64_t m1, std::int64_t k0, std::int64_t k1, A* dst,
                 std::int64_t stride, std::int64_t row_pad, std::int64_t col_pad);
  /// dst[c*width + j] = w[c*stride_c + j*stride_j] for c < depth, j < cols; zero for cols <= j < width. One of the
  /// strides is 1.
  void (*weights)(const A* w, std::int64_t stride_c, std::int64_t stride_j, std::int64_t depth, std::int64_t cols,
                  std::int64_t width, A* dst);
  /// dst[i] = partials[i] + partials[i + distance] + ... (`count` terms, in this order) for i < size.
  void (*add_partials)(const A* partials, std::int64_t distance, std::int64_t count, std::int64_t size, A* dst);
};

using ConvPackTable = ByStorage<ConvPackLoops>;

/// The same for products of bf16 pairs (Isa::avx512_bf16).
struct PairPackLoops {
  /// As ConvPackLoops::gather, without a conversion; neighbouring columns are a pair.
  void (*gather)(const Gather<bf16>&, std::int64_t m0, std::int64_t m1, std::int64_t k0, std::int64_t k1, bf16* dst,
                 std::int64_t stride, std::int64_t row_pad, std::int64_t col_pad);
  /// As ConvPackLoops::weights, rounded: dst[c/2*width + j] holds c and c + 1. depth is even.
  void (*weights)(const float* w, std::int64_t stride_c, std::int64_t stride_j, std::int64_t depth, std::int64_t cols,
                  std::int64_t width, BfPair* dst);
  /// dst[r*stride + j] = (rows[2*r*stride + j], rows[(2*r + 1)*stride + j]) for r < count, j < cols.
  void (*interleave)(const bf16* rows, std::int64_t stride, std::int64_t count, std::int64_t cols, BfPair* dst);
};

namespace baseline {
extern const ConvPackTable conv_pack_loops;
}
namespace avx2 {
extern const ConvPackTable conv_pack_loops;
}
namespace avx512 {
extern const ConvPackTable conv_pack_loops;
extern const PairPackLoops pair_pack_loops;
}  // namespace avx512

}  // namespace unet::kernels::cpu
