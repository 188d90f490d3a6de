// Winograd transforms of filters and of their gradients.
#include <utility>  // std::integer_sequence: a type, no code

#include "kernels/cpu/isa/winograd.h"
#include "kernels/cpu/isa/winograd_points.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

/// u[(M+2)^2] = G g G^T of the nine taps g (g[tap * tap_stride]).
template <int M>
[[gnu::always_inline]] inline void filter_tile(const Vec* g, int tap_stride, float* u, std::int64_t product_stride) {
  constexpr int size = M + 2;
  Vec columns[size][3];
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) {
    const Vec column[3] = {g[j * tap_stride], g[(3 + j) * tap_stride], g[(6 + j) * tap_stride]};
    Vec o[size];
    Points<M>::filter(column, o);
#pragma GCC unroll 8
    for (int i = 0; i < size; ++i) columns[i][j] = o[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < size; ++i) {
    Vec o[size];
    Points<M>::filter(columns[i], o);
#pragma GCC unroll 8
    for (int j = 0; j < size; ++j) store(u + (i * size + j) * product_stride, o[j]);
  }
}

/// One step of the transposition: swaps the off-diagonal `step` x `step` blocks of rows i and i + step.
template <int step, int... lane>
[[gnu::always_inline]] inline void swap_blocks(Vec& upper, Vec& lower, std::integer_sequence<int, lane...>) {
  const U32<lanes> of_upper = {static_cast<std::uint32_t>((lane & step) ? lanes + lane - step : lane)...};
  const U32<lanes> of_lower = {static_cast<std::uint32_t>((lane & step) ? lanes + lane : lane + step)...};
  const Vec u = upper, l = lower;
  upper = __builtin_shuffle(u, l, of_upper);
  lower = __builtin_shuffle(u, l, of_lower);
}
template <int step>
[[gnu::always_inline]] inline void transpose_step(Vec* rows) {
  if constexpr (step > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if ((i & step) == 0) swap_blocks<step>(rows[i], rows[i + step], std::make_integer_sequence<int, lanes>{});
    }
    transpose_step<step / 2>(rows);
  }
}
/// Transposes lanes x lanes floats.
[[gnu::always_inline]] inline void transpose(Vec* rows) { transpose_step<lanes / 2>(rows); }

/// Weights [Cout][9][Cin] have Cin innermost, but U has Cout there: transposed in registers. Rows of the weights are
/// far apart (Cin = 1024: 36 KB, one cache set), so 128 adjacent bytes are taken from each at a time.
template <int M, class T>
void filter_block(const WinogradFilterBlock& block) {
  constexpr int width = 32, count = width / lanes;
  const T* weights = static_cast<const T*>(block.weights);
  const std::int64_t row = 9 * block.Cin;
  for (std::int64_t out = 0; out < block.out_count; out += lanes) {
    for (std::int64_t in = 0; in < block.in_count; in += width) {
      const T* corner = weights + (block.out_begin + out) * row + block.in_begin + in;
      const std::int64_t outs = block.Cout - block.out_begin - out, ins = block.Cin - block.in_begin - in;
      Vec taps[9][width];
      for (int tap = 0; tap < 9; ++tap) {
        for (int part = 0; part < count; ++part) {
          Vec* square = taps[tap] + part * lanes;
          const T* from = corner + tap * block.Cin + part * lanes;
          const std::int64_t left = ins - part * lanes;
          if (outs >= lanes && left >= lanes) {
#pragma GCC unroll 16
            for (int i = 0; i < lanes; ++i) {
              square[i] = load(from + i * row);
              prefetch(from + i * row + width);
            }
          } else {
            for (int i = 0; i < lanes; ++i) {
              square[i] = i < outs && left > 0 ? load(from + i * row, static_cast<int>(left)) : Vec{};
            }
          }
          transpose(square);
        }
      }
      const std::int64_t end = block.in_count - in < width ? block.in_count - in : width;
      for (std::int64_t i = 0; i < end; ++i) {
        filter_tile<M>(&taps[0][i], width, block.u + (in + i) * block.row_stride + out, block.product_stride);
      }
    }
  }
}

/// Backward data: Cin is the output side, so it is innermost already; taps in reverse.
template <int M, class T>
void rotated_filter_block(const WinogradFilterBlock& block) {
  const T* weights = static_cast<const T*>(block.weights);
  constexpr int rows_ahead = 4;
  for (std::int64_t in = 0; in < block.in_count; ++in) {
    const std::int64_t source = block.in_begin + in;
    for (std::int64_t out = 0; out < block.out_count; out += lanes) {
      const T* from = weights + source * 9 * block.Cin + block.out_begin + out;
      const std::int64_t left = block.Cin - block.out_begin - out;
      Vec taps[9];
      for (int tap = 0; tap < 9; ++tap) {
        taps[tap] = source < block.Cout && left > 0
                        ? load(from + (8 - tap) * block.Cin, static_cast<int>(left < lanes ? left : lanes))
                        : Vec{};
        if (source + rows_ahead < block.Cout) prefetch(from + (9 * rows_ahead + 8 - tap) * block.Cin);
      }
      filter_tile<M>(taps, 1, block.u + in * block.row_stride + out, block.product_stride);
    }
  }
}

template <int M, class T>
void transform_filter(const WinogradFilterBlock& block) {
  if (block.rotated) {
    rotated_filter_block<M, T>(block);
  } else {
    filter_block<M, T>(block);
  }
}

template <int M, class T>
void transform_gradient(const WinogradFilterGradient& block) {
  constexpr int size = M + 2;
  for (std::int64_t out = 0; out < block.out_count; ++out) {
    for (std::int64_t in = 0; in < block.in_count; in += lanes) {
      const float* du = block.du + out * block.row_stride + in;
      Vec half[3][size];
#pragma GCC unroll 8
      for (int j = 0; j < size; ++j) {
        Vec d[size], o[3];
#pragma GCC unroll 8
        for (int i = 0; i < size; ++i) d[i] = load(du + (i * size + j) * block.product_stride);
        Points<M>::filter_gradient(d, o);
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) half[i][j] = o[i];
      }
      T* to = static_cast<T*>(block.dweights) + (block.out_begin + out) * 9 * block.Cin + block.in_begin + in;
      const int count = static_cast<int>(block.Cin - block.in_begin - in);
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        Vec o[3];
        Points<M>::filter_gradient(half[i], o);
#pragma GCC unroll 3
        for (int j = 0; j < 3; ++j) {
          T* p = to + (i * 3 + j) * block.Cin;
          if (block.stream) {
            stream_line(p, o[j]);
          } else if (count >= lanes) {
            store(p, o[j]);
          } else {
            store(p, o[j], count < 0 ? 0 : count);
          }
        }
      }
    }
  }
}

template <class T>
void sum(const WinogradSum& s) {
  for (std::int64_t i = s.begin; i < s.end; i += lanes) {
    const int count = s.end - i < lanes ? static_cast<int>(s.end - i) : lanes;
    Vec total = load(s.parts + i, count);
    for (std::int64_t part = 1; part < s.count; ++part) total = total + load(s.parts + part * s.part_stride + i, count);
    store(static_cast<T*>(s.to) + i, total, count);
  }
}

template <int M, class T>
constexpr WinogradFilterLoops kLoops{transform_filter<M, T>, transform_gradient<M, T>, sum<T>};

}  // namespace

extern const WinogradFilterLoops winograd_filters[3][2] = {
    {kLoops<2, float>, kLoops<2, bf16>}, {kLoops<4, float>, kLoops<4, bf16>}, {kLoops<6, float>, kLoops<6, bf16>}};

}  // namespace unet::kernels::cpu::UNET_ISA
