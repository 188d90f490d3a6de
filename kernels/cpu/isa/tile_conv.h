// The inner loops of convolutions of bf16 in AMX's tiles, for Isa::avx512_amx alone. A tile holds 16 rows of 16 sums in
// f32, or of 16 pairs of bf16; an instruction adds the products of two tiles to a third. Denormal operands and sums
// count as zero there.
#pragma once

#include "kernels/cpu/isa/gemm.h"

namespace unet::kernels::cpu {

constexpr std::int64_t kTileRows = 16;     // rows of A; pairs that one step sums over
constexpr std::int64_t kTileColumns = 32;  // of B and of the sums, two tiles beside each other; values of a row of A
constexpr std::int64_t kTileSums = kTileRows * kTileColumns;

/// sums[panel][tile][row][column] (+)= sum over taps, steps and 32 values of A * B.
struct TileProduct {
  const bf16* a;  // 32 values of one row at a + a_tile[tile] + a_tap[tap] + row*a_row + step*32
  const std::int64_t *a_tile, *a_tap;
  std::int64_t a_row;
  const BfPair* b;  // pair k of a step, 32 columns at b + panel*b_panel + tap*b_tap + (step*16 + k)*b_row
  std::int64_t b_panel, b_tap, b_row;
  std::int64_t panels, tiles, taps, steps;
  float* sums;
  bool accumulate;
};

/// Rounds what has been summed: y = act(sums + bias + residual).
struct TileStore {
  const float* sums;          // [rows][32], columns [0, cols) of them
  const std::int64_t* pixel;  // row r is pixel[r] of the residual and goes to y + y_at[r]; none where it is < 0
  const std::int64_t* y_at;
  std::int64_t rows, cols;
  const float* bias;     // or null
  const bf16* residual;  // or null
  std::int64_t residual_pitch;
  bool relu;
  bf16* y;
};

struct TileLoops {
  void (*product)(const TileProduct&);
  void (*store)(const TileStore&);
  /// dst[c/2*32 + j] = (w[c*stride_c + j*stride_j], that of c + 1), rounded, for c < channels, j < cols <= 32; zeros up
  /// to 32 columns and a multiple of 32 channels.
  void (*weights)(const float* w, std::int64_t stride_c, std::int64_t stride_j, std::int64_t channels,
                  std::int64_t cols, BfPair* dst);
  /// to[p*to_stride + c] = from[p*from_stride + c] for p < count, c < channels; zeros up to a multiple of 32 channels.
  void (*copy)(const bf16* from, std::int64_t from_stride, std::int64_t count, std::int64_t channels, bf16* to,
               std::int64_t to_stride);
  /// dst[c*dst_stride + p] = (rows[2*p*stride + c], rows[(2*p + 1)*stride + c]) for p < pairs, c < channels, both
  /// multiples of 16.
  void (*transpose)(const bf16* rows, std::int64_t stride, std::int64_t pairs, std::int64_t channels, BfPair* dst,
                    std::int64_t dst_stride);
};

namespace avx512 {
extern const TileLoops tile_loops;  // to be called where isa() is avx512_amx
}

}  // namespace unet::kernels::cpu
