// The loops behind the tables of gemm.h, for any type of operand: a vector of B, a multiply-add of it with one A.
#pragma once

#include "kernels/cpu/isa/gemm.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

// Two vectors a row; the accumulators fill three quarters of the registers and the rest holds two vectors of B and a
// broadcast of A: 12 x 2 of 32 with AVX-512, 6 x 2 of 16 otherwise.
#if defined(UNET_ISA_avx512)
constexpr int kVectorBytes = 64;
constexpr int kRowStep = 4;
#elif defined(UNET_ISA_avx2)
constexpr int kVectorBytes = 32;
constexpr int kRowStep = 2;
#else
constexpr int kVectorBytes = 16;
constexpr int kRowStep = 2;
#endif
constexpr int kTileRows = 3 * kRowStep;
constexpr int kTileVectors = 2;

template <class S>
struct Simd {
  typedef S Vector __attribute__((vector_size(kVectorBytes)));
  typedef S Unaligned __attribute__((vector_size(kVectorBytes), aligned(sizeof(S)), may_alias));
  typedef S Scalar __attribute__((may_alias));
};

/// Sums in a vector; as many operands T fill one.
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
struct Operand {
  using Vector = typename Simd<T>::Vector;

  [[gnu::always_inline]] static Vector load(const T* p) {
    return *reinterpret_cast<const typename Simd<T>::Unaligned*>(p);
  }
  [[gnu::always_inline]] static Vector multiply_add(const T& a, Vector b, Vector sum) { return sum + a * b; }
};

/// The end of a tile with fewer columns than the vectors hold; sums: [rows][width].
template <class T>
[[gnu::noinline]] void store_ragged(const GemmBlock<T>& g, std::int64_t i0, std::int64_t rows, std::int64_t j0,
                                    std::int64_t cols, const typename Simd<Compute<T>>::Scalar* sums,
                                    std::int64_t width) {
  using S = Compute<T>;
  for (std::int64_t i = 0; i < rows; ++i) {
    S* c = g.c + g.c_row[i0 + i] + j0;
    for (std::int64_t j = 0; j < cols; ++j) {
      S value = sums[i * width + j];
      if (g.accumulate) value += c[j];
      if (g.bias != nullptr) value += g.bias[j0 + j];
      if (g.relu) value = value < 0 ? S(0) : value;
      c[j] = value;
    }
  }
}

/// One register tile: kRows x (kVectors * lanes) of C; `rows` and `cols` of it exist.
template <class T, int kRows, int kVectors, bool kKMajor>
[[gnu::noinline]] void tile(const GemmBlock<T>& g, std::int64_t i0, std::int64_t rows, std::int64_t j0,
                            std::int64_t cols) {
  using S = Compute<T>;
  using Vector = typename Simd<S>::Vector;
  using Unaligned = typename Simd<S>::Unaligned;
  constexpr std::int64_t lanes = kLanes<T>;
  Vector sum[kRows][kVectors] = {};
  const std::int64_t a_stride = g.a_stride;
  const T* __restrict a = kKMajor ? g.a + i0 : g.a + i0 * a_stride;
  const T* __restrict b = g.b + j0 / (lanes * kTileVectors) * g.b_panel;
  for (std::int64_t k = 0; k < g.depth; ++k) {
    typename Operand<T>::Vector bk[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) bk[v] = Operand<T>::load(b + v * lanes);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const T ak = kKMajor ? a[i] : a[i * a_stride];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] = Operand<T>::multiply_add(ak, bk[v], sum[i][v]);
    }
    a += kKMajor ? a_stride : 1;
    b += g.b_stride;
  }

  const S* bias = g.bias == nullptr ? nullptr : g.bias + j0;
  if (cols >= kVectors * lanes) {
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      if (i >= rows) break;
      S* c = g.c + g.c_row[i0 + i] + j0;
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        Unaligned* to = reinterpret_cast<Unaligned*>(c + v * lanes);
        Vector value = sum[i][v];
        if (g.accumulate) value += *to;
        if (bias != nullptr) value += *reinterpret_cast<const Unaligned*>(bias + v * lanes);
        if (g.relu) value = value < 0 ? Vector{} : value;
        *to = value;
      }
    }
    return;
  }
  Vector spilled[kRows * kVectors];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) spilled[i * kVectors + v] = sum[i][v];
  }
  const std::int64_t some = rows < kRows ? rows : kRows;
  store_ragged(g, i0, some, j0, cols, reinterpret_cast<const typename Simd<S>::Scalar*>(spilled), kVectors * lanes);
}

template <class T, int kVectors, bool kKMajor>
void column(const GemmBlock<T>& g, std::int64_t j0, std::int64_t cols) {
  for (std::int64_t i0 = 0; i0 < g.rows; i0 += kTileRows) {
    const std::int64_t rows = g.rows - i0;
    if (rows > 2 * kRowStep) {
      tile<T, kTileRows, kVectors, kKMajor>(g, i0, rows, j0, cols);
    } else if (rows > kRowStep) {
      tile<T, 2 * kRowStep, kVectors, kKMajor>(g, i0, rows, j0, cols);
    } else {
      tile<T, kRowStep, kVectors, kKMajor>(g, i0, rows, j0, cols);
    }
  }
}

template <class T, bool kKMajor>
void columns(const GemmBlock<T>& g) {
  constexpr std::int64_t tile_cols = kTileVectors * kLanes<T>;
  for (std::int64_t j0 = 0; j0 < g.cols; j0 += tile_cols) {
    const std::int64_t cols = g.cols - j0;
    if (cols > kLanes<T>) {
      column<T, kTileVectors, kKMajor>(g, j0, cols);
    } else {
      column<T, 1, kKMajor>(g, j0, cols);
    }
  }
}

template <class T>
void block(const GemmBlock<T>& g) {
  if (g.a_k_major) {
    columns<T, true>(g);
  } else {
    columns<T, false>(g);
  }
}

template <class T>
constexpr GemmLoops<T> gemm_loops{kTileRows, kRowStep, kTileVectors* kLanes<T>, block<T>};

}  // namespace
}  // namespace unet::kernels::cpu::UNET_ISA
