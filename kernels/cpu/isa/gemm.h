// Product of packed blocks, the inner loop of all own convolutions:  C[i,j] (+)= sum_k A[i,k] * B[k,j].
// Design after BLIS (Van Zee and van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", 2015):
// tile_rows x tile_cols accumulators stay in registers, a panel of B stays in L1, the block of A in L2.
#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// Two bf16, of neighbouring k, as one operand; their products are added in f32, the lower half's first.
struct [[gnu::may_alias]] BfPair {
  std::uint32_t bits;
};

template <>
struct Storage<BfPair> {
  using Compute = float;
};

template <class T>
struct GemmBlock {
  const T* a;  // element (i,k) at a[i*a_stride + k], or with a_k_major at a[k*a_stride + i]
  std::int64_t a_stride;
  bool a_k_major;
  const T* b;  // element (k,j) at b[(j / tile_cols)*b_panel + k*b_stride + j % tile_cols]
  std::int64_t b_panel;
  std::int64_t b_stride;
  std::int64_t rows, cols, depth;
  Compute<T>* c;  // element (i,j) at c[c_row[i] + j]
  const std::int64_t* c_row;
  bool accumulate;         // add to c instead of overwriting it
  const Compute<T>* bias;  // [cols], added to every row; or null
  bool relu;               // after the bias; NaN stays NaN
};

/// Whole register tiles are read, never stored: A must be readable up to rows rounded up to row_step, B up to cols
/// rounded up to tile_cols. What lies there does not reach C.
template <class T>
struct GemmLoops {
  std::int64_t tile_rows;
  std::int64_t row_step;
  std::int64_t tile_cols;
  void (*block)(const GemmBlock<T>&);
};

namespace baseline {
extern const GemmLoops<float> gemm_f32;
extern const GemmLoops<double> gemm_f64;
}  // namespace baseline
namespace avx2 {
extern const GemmLoops<float> gemm_f32;
extern const GemmLoops<double> gemm_f64;
}  // namespace avx2
namespace avx512 {
extern const GemmLoops<float> gemm_f32;
extern const GemmLoops<double> gemm_f64;
extern const GemmLoops<BfPair> gemm_bf16;  // to be called where isa() is avx512_bf16
}  // namespace avx512

}  // namespace unet::kernels::cpu
