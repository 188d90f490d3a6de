// Matrix products by cuBLASLt, row-major: C [m,n] = op(A) [m,k] * op(B) [k,n], where op transposes if asked. Dense, f32
// products and sums, the same bytes every time.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cuda {

struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false;  // A is stored [k,m]
  bool transpose_b = false;  // B is stored [n,k]
  bool tf32 = false;         // f32 operands may be rounded to TF32

  auto operator<=>(const GemmShape&) const = default;
};

/// Bytes that gemm's workspace must have, 256-byte aligned.
inline constexpr std::size_t kGemmWorkspace = std::size_t{32} << 20;

/// Bytes that A, B and C are aligned to: slices of an arena of bf16 lie at less than the 256 that cuBLASLt takes for
/// granted.
inline constexpr std::uint32_t kGemmAlignment = 16;

/// A and B of dtype `in`, C of dtype `out`: f32 to f32, bf16 to bf16 or bf16 to f32. C is overwritten. How is decided
/// once for each kind of product and kept. Throws std::runtime_error if cuBLASLt is missing or has no kernel, naming
/// the shape.
void gemm(const GemmShape& shape, const void* a, const void* b, Dtype in, void* c, Dtype out, void* workspace);

}  // namespace unet::kernels::cuda
