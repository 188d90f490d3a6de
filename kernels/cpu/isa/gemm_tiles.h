// The loops behind the tables of gemm.h, for any type of operand: a vector of B, a multiply-add of it with one A.
#pragma once

#include "kernels/cpu/isa/gemm.h"
#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

// Two vectors a row; the accumulators fill three quarters of the registers and the rest holds two vectors of B and a
// broadcast of A: 12 x 2 of 32 with AVX-512, 6 x 2 of 16 otherwise.
constexpr int kRowStep = kVectorBytes == 64 ? 4 : 2;
constexpr int kTileRows = 3 * kRowStep;
constexpr int kTileVectors = 2;

/// Sums in a register; as many operands T fill one.
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
struct Operand {
  [[gnu::always_inline]] static Vector<T> load(const T* p) { return UNET_ISA::load(p); }
  [[gnu::always_inline]] static Vector<T> multiply_add(const T& a, Vector<T> b, Vector<T> sum) {
    return fma(broadcast(a), b, sum);
  }
};

/// The end of a tile with fewer columns than the vectors hold; sums: [rows][width].
template <class T>
[[gnu::noinline]] void store_ragged(const GemmBlock<T>& g, std::int64_t i0, std::int64_t rows, std::int64_t j0,
                                    std::int64_t cols, const Compute<T>* sums, std::int64_t width) {
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
  constexpr std::int64_t N = kLanes<T>;
  Vector<S> sum[kRows][kVectors] = {};
  const std::int64_t a_stride = g.a_stride;
  const T* __restrict a = kKMajor ? g.a + i0 : g.a + i0 * a_stride;
  const T* __restrict b = g.b + j0 / (N * kTileVectors) * g.b_panel;
  for (std::int64_t k = 0; k < g.depth; ++k) {
    decltype(Operand<T>::load(b)) bk[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) bk[v] = Operand<T>::load(b + v * N);
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
  if (cols >= kVectors * N) {
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      if (i >= rows) break;
      S* c = g.c + g.c_row[i0 + i] + j0;
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        Vector<S> value = sum[i][v];
        if (g.accumulate) value += load(c + v * N);
        if (bias != nullptr) value += load(bias + v * N);
        if (g.relu) value = value < 0 ? Vector<S>{} : value;
        store(c + v * N, value);
      }
    }
    return;
  }
  S spilled[kRows * kVectors * N];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) store(spilled + (i * kVectors + v) * N, sum[i][v]);
  }
  const std::int64_t some = rows < kRows ? rows : kRows;
  store_ragged(g, i0, some, j0, cols, spilled, kVectors * N);
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
