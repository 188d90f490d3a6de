#include "kernels/cpu/own_conv.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/grid_product.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/elementwise.h"
#include "kernels/cpu/isa/gemm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_conv.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

// Blocks, in elements: a panel of B (kDepth x tile_cols) fills half of a 32 KiB L1, a block of A (kRows x kDepth) a
// share of a 1 MiB L2. kSkew keeps the rows of a block out of each other's cache sets.
constexpr std::int64_t kDepth = 192;
constexpr std::int64_t kRows = 192;
constexpr std::int64_t kSkew = 16;
constexpr std::int64_t kSumCols = 256;  // columns of a task whose results are rounded at its end
// Backward weights: kPixels x (kOut + kCols) of packed dy and x, and kOut x kCols sums, all of it in L2.
constexpr std::int64_t kPixels = 128;
constexpr std::int64_t kOut = 192;
constexpr std::int64_t kCols = 384;
constexpr std::int64_t kMinTasks = 32;

std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }
std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }

const GemmLoops<float>& gemm_loops(float) { return select(baseline::gemm_f32, avx2::gemm_f32, avx512::gemm_f32); }
const GemmLoops<double>& gemm_loops(double) { return select(baseline::gemm_f64, avx2::gemm_f64, avx512::gemm_f64); }
template <class T>
const ConvPackLoops<T>& pack_loops(T of) {
  return select(baseline::conv_pack_loops, avx2::conv_pack_loops, avx512::conv_pack_loops).of(of);
}
const GemmLoops<BfPair>& gemm_loops(BfPair) { return avx512::gemm_bf16; }

const ElementwiseTable& conversions() {
  return select(baseline::elementwise_loops, avx2::elementwise_loops, avx512::elementwise_loops);
}

/// `size` neighbouring activations as they are computed.
template <class T>
void widen_row(const T* from, std::int64_t size, Compute<T>* to) {
  if constexpr (std::is_same_v<T, bf16>) {
    conversions().to_f32(from, size, to);
  } else {
    std::copy_n(from, size, to);
  }
}

/// Results in bf16 are summed in f32 and rounded once when complete, everything else is written as it is.
template <class T>
constexpr bool kConverted = sizeof(T) < sizeof(Compute<T>);

// P is what is multiplied: f32 (bf16 is converted on its way in) or f64, one element of the sum over k; or, where the
// CPU multiplies bf16, a pair of it, two. Weights are rounded to bf16 then, as a GPU has them.
template <class P>
constexpr std::int64_t kPer = std::is_same_v<P, BfPair> ? 2 : 1;

/// Calls body(P{}) for activations T; `even`: the sum is over an even number of channels, whole pairs.
template <class T, class Body>
void dispatch_products(bool even, Body&& body) {
  if constexpr (std::is_same_v<T, bf16>) {
    if (even && isa() == Isa::avx512_bf16) return body(BfPair{});
  }
  body(Compute<T>{});
}

/// Columns [k0, k1) of rows [m0, m1) into `to`, a row every `stride` products; zeros up to row_pad rows.
template <class T, class P>
void pack_rows(const Gather<T>& rows, std::int64_t m0, std::int64_t m1, std::int64_t k0, std::int64_t k1, P* to,
               std::int64_t stride, std::int64_t row_pad) {
  if constexpr (kPer<P> == 2) {
    avx512::pair_pack_loops.gather(rows, m0, m1, k0, k1, reinterpret_cast<bf16*>(to), 2 * stride, row_pad, 0);
  } else {
    pack_loops(T{}).gather(rows, m0, m1, k0, k1, to, stride, row_pad, 0);
  }
}

/// The same for a sum over the rows: products of neighbouring rows form a pair; zeros up to col_pad columns.
template <class T, class P>
void pack_columns(const Gather<T>& rows, std::int64_t m0, std::int64_t m1, std::int64_t k0, std::int64_t k1, P* to,
                  std::int64_t stride, std::int64_t col_pad) {
  if constexpr (kPer<P> == 2) {
    constexpr std::int64_t kSlice = 16;  // rows that stay in L1 in between
    alignas(64) bf16 slice[kSlice * (kCols + kSkew)];
    for (std::int64_t m = m0; m < m1; m += kSlice) {
      const std::int64_t count = std::min(kSlice, m1 - m), pairs = ceil_div(count, 2);
      avx512::pair_pack_loops.gather(rows, m, m + count, k0, k1, slice, stride, 2 * pairs, col_pad);
      avx512::pair_pack_loops.interleave(slice, stride, pairs, std::max(k1 - k0, col_pad), to + (m - m0) / 2 * stride);
    }
  } else {
    pack_loops(T{}).gather(rows, m0, m1, k0, k1, to, stride, 0, col_pad);
  }
}

template <class T, class P>
void run(const GridProduct<T>& p, P* packed) {
  using A = Compute<T>;
  const GemmLoops<P>& gemm = gemm_loops(P{});
  const std::int64_t depth = p.depth() / kPer<P>;
  const std::int64_t width = gemm.tile_cols;
  const std::int64_t panels = ceil_div(p.cols, width);
  const std::int64_t taps = p.rows.taps_h * p.rows.taps_w;
  parallel_for(panels * taps, [&](std::int64_t task) {
    const std::int64_t col = task / taps * width;
    const std::int64_t tap = task % taps;
    const A* w = p.w + p.tap0 + tap / p.rows.taps_w * p.tap_i + tap % p.rows.taps_w * p.tap_j + col * p.stride_col;
    P* to = packed + (task / taps * depth + tap * (p.rows.C / kPer<P>)) * width;
    const std::int64_t cols = std::min(width, p.cols - col);
    if constexpr (kPer<P> == 2) {
      avx512::pair_pack_loops.weights(w, p.stride_c, p.stride_col, p.rows.C, cols, width, to);
    } else {
      pack_loops(T{}).weights(w, p.stride_c, p.stride_col, p.rows.C, cols, width, to);
    }
  });

  // A 1x1 kernel reads x where it lies, unless the packed rows, which conflict less in the cache, serve several panels.
  const bool in_place = sizeof(T) * kPer<P> == sizeof(P) && p.rows.pitch % kPer<P> == 0 && taps == 1 && panels == 1 &&
                        p.rows.step == 1 && p.rows.h0 == 0 && p.rows.w0 == 0 && p.rows.grid_h == p.rows.H &&
                        p.rows.grid_w == p.rows.W;
  // Few pixels: cut the columns too, so that there are tasks for all threads (which shows in no result), but no more:
  // each packs its rows anew.
  const std::int64_t row_block = kRows / gemm.tile_rows * gemm.tile_rows;
  const Blocks grid = cut(p.pixels(), row_block, p.pixels());
  const std::int64_t most_panels = kConverted<T> ? kSumCols / width : panels;
  const Blocks column = cut(panels, std::min(most_panels, ceil_div(panels * grid.count, 4 * threads())), panels);
  parallel_for(grid.count * column.count, [&](std::int64_t task) {
    alignas(64) P a[kRows * (kDepth + kSkew)];
    alignas(64) A sums[kConverted<T> ? kRows * kSumCols : 1];  // results that have yet to be rounded
    std::int64_t out_row[kRows], sum_row[kRows];
    const std::int64_t m0 = grid.begin(task / column.count), m1 = grid.end(task / column.count);
    const std::int64_t panel = column.begin(task % column.count);
    const std::int64_t col = panel * width;
    for (std::int64_t m = m0; m < m1; ++m) {
      const std::int64_t w = m % p.rows.grid_w;
      const std::int64_t h = m / p.rows.grid_w % p.rows.grid_h;
      const std::int64_t n = m / (p.rows.grid_w * p.rows.grid_h);
      out_row[m - m0] = ((n * p.out_H + h * p.out_step + p.out_h) * p.out_W + w * p.out_step + p.out_w) * p.out_pitch;
    }
    GemmBlock<P> block{};
    block.a = a;
    block.a_stride = kDepth + kSkew;
    block.b_panel = depth * width;
    block.b_stride = width;
    block.rows = m1 - m0;
    block.cols = std::min(p.cols, column.end(task % column.count) * width) - col;
    if constexpr (kConverted<T>) {
      for (std::int64_t i = 0; i < m1 - m0; ++i) sum_row[i] = i * block.cols;
      block.c = sums;
      block.c_row = sum_row;
    } else {
      block.c = p.out + col;
      block.c_row = out_row;
    }
    if (p.residual != nullptr) {  // what the products are added to
      for (std::int64_t m = m0; m < m1; ++m) {
        widen_row(p.residual + m * p.residual_pitch + col, block.cols, block.c + block.c_row[m - m0]);
      }
    }
    // A phase that no tap reaches has depth 0: one round that stores zeros (and the bias).
    std::int64_t k0 = 0;
    do {
      const std::int64_t k1 = std::min(depth, k0 + kDepth);
      bool gathered = k1 > k0;
      if (in_place && (m1 - m0) % gemm.row_step == 0) {
        block.a = reinterpret_cast<const P*>(p.rows.src + m0 * p.rows.pitch) + k0;
        block.a_stride = p.rows.pitch / kPer<P>;
        gathered = false;
      }
      if (gathered) {
        pack_rows(p.rows, m0, m1, k0 * kPer<P>, k1 * kPer<P>, a, kDepth + kSkew, round_up(m1 - m0, gemm.row_step));
      }
      block.b = packed + (panel * depth + k0) * width;
      block.depth = k1 - k0;
      block.accumulate = k0 > 0 || p.residual != nullptr;
      block.bias = k1 == depth && p.bias != nullptr ? p.bias + col : nullptr;
      block.relu = k1 == depth && p.relu;
      gemm.block(block);
      k0 = k1;
    } while (k0 < depth);
    if constexpr (kConverted<T>) {
      for (std::int64_t i = 0; i < m1 - m0; ++i) {
        conversions().to_bf16(sums + sum_row[i], block.cols, p.out + out_row[i] + col);
      }
    }
  });
}

template <class T>
void run(const ConvCase& c, const GridProduct<T>& p, bool even, void* workspace) {
  if constexpr (std::is_same_v<T, bf16>) {
    if (tile_conv_supports(c)) return tile_product(p, workspace);
  }
  dispatch_products<T>(even, [&]<class P>(P) { run(p, static_cast<P*>(workspace)); });
}

template <class T>
void forward(const ConvCase& c, const ConvOperands& io, void* workspace) {
  const ConvSpec& spec = c.spec;
  const ConvShape& s = c.shape;
  GridProduct<T> p{};
  p.rows = {io.x.as<T>(), s.H, s.W, s.Cin, io.x.pitch, c.Ho(), c.Wo(), spec.stride, s.Kh, s.Kw, -spec.pad, -spec.pad};
  p.N = s.N;
  p.cols = s.Cout;
  p.w = io.weights.as<Compute<T>>();
  p.tap_i = s.Kw * s.Cin;
  p.tap_j = s.Cin;
  p.stride_c = 1;
  p.stride_col = s.Kh * s.Kw * s.Cin;
  if (spec.bias) p.bias = io.bias.as<Compute<T>>();
  if (spec.residual) p.residual = io.residual.as<T>();
  p.residual_pitch = io.residual.pitch;
  p.relu = spec.relu;
  p.out = io.y.as<T>();
  p.out_H = c.Ho();
  p.out_W = c.Wo();
  p.out_pitch = io.y.pitch;
  p.out_step = 1;
  run(c, p, s.Cin % 2 == 0, workspace);
}

/// One dimension of a phase: its pixels are h = first + g*stride, g < count; tap i < taps reads dy at g + offset + i
/// and belongs to kernel index tap - i*stride.
struct Phase {
  std::int64_t count, taps, tap, offset;
};

Phase phase_of(std::int64_t first, std::int64_t size, std::int64_t kernel, const ConvSpec& spec) {
  const std::int64_t smallest = (first + spec.pad) % spec.stride;
  const std::int64_t taps = smallest < kernel ? ceil_div(kernel - smallest, spec.stride) : 0;
  return {ceil_div(size - first, spec.stride), taps, smallest + (taps - 1) * spec.stride,
          (first + spec.pad - smallest) / spec.stride - (taps - 1)};
}

template <class T>
void backward_data(const ConvCase& c, const ConvOperands& io, void* workspace) {
  const ConvSpec& spec = c.spec;
  const ConvShape& s = c.shape;
  for (std::int64_t ph = 0; ph < std::min(spec.stride, s.H); ++ph) {
    const Phase h = phase_of(ph, s.H, s.Kh, spec);
    for (std::int64_t pw = 0; pw < std::min(spec.stride, s.W); ++pw) {
      const Phase w = phase_of(pw, s.W, s.Kw, spec);
      GridProduct<T> p{};
      p.rows = {io.dy.as<T>(), c.Ho(), c.Wo(), s.Cout, io.dy.pitch, h.count,
                w.count,       1,      h.taps, w.taps, h.offset,    w.offset};
      p.N = s.N;
      p.cols = s.Cin;
      p.w = io.weights.as<Compute<T>>();
      p.tap0 = (h.tap * s.Kw + w.tap) * s.Cin;
      p.tap_i = -spec.stride * s.Kw * s.Cin;
      p.tap_j = -spec.stride * s.Cin;
      p.stride_c = s.Kh * s.Kw * s.Cin;
      p.stride_col = 1;
      if (spec.bias) p.bias = io.bias.as<Compute<T>>();
      p.out = io.dx.as<T>();
      p.out_H = s.H;
      p.out_W = s.W;
      p.out_pitch = io.dx.pitch;
      p.out_step = spec.stride;
      p.out_h = ph;
      p.out_w = pw;
      run(c, p, s.Cout % 2 == 0, workspace);
    }
  }
}

/// How backward weights is cut, by the shape alone.
struct WeightsCut {
  Blocks out, cols, pixels;

  explicit WeightsCut(const ConvCase& c)
      : out(cut(c.shape.Cout, kOut, c.shape.Cout)),
        cols(cut(c.shape.taps() * c.shape.Cin, kCols, c.shape.taps() * c.shape.Cin)),
        pixels{} {
    const std::int64_t all = c.shape.N * c.Ho() * c.Wo();
    pixels = cut(all, 16 * kPixels, ceil_div(kMinTasks, out.count * cols.count));
  }
};

template <class T, class P>
void backward_weights(const ConvCase& c, const ConvOperands& io, Compute<T>* workspace) {
  using A = Compute<T>;
  const ConvSpec& spec = c.spec;
  const ConvShape& s = c.shape;
  const ConstView &x = io.x, &dy = io.dy;
  constexpr std::int64_t kPixelsOfBlock = kPixels * kPer<P>;
  const GemmLoops<P>& gemm = gemm_loops(P{});
  const std::int64_t Ho = c.Ho(), Wo = c.Wo();
  const std::int64_t depth = s.Kh * s.Kw * s.Cin;
  const Gather<T> x_rows{x.as<T>(), s.H, s.W, s.Cin, x.pitch, Ho, Wo, spec.stride, s.Kh, s.Kw, -spec.pad, -spec.pad};
  const Gather<T> dy_rows{dy.as<T>(), Ho, Wo, s.Cout, dy.pitch, Ho, Wo, 1, 1, 1, 0, 0};
  const WeightsCut parts(c);
  A* sums = parts.pixels.count == 1 ? io.dweights.as<A>() : workspace;
  parallel_for(parts.pixels.count * parts.out.count * parts.cols.count, [&](std::int64_t task) {
    constexpr std::int64_t kStrideA = kOut + kSkew, kStrideB = kCols + kSkew;
    alignas(64) P a[kPixels * kStrideA];
    alignas(64) P b[kPixels * kStrideB];
    std::int64_t row[kOut];
    const std::int64_t co = task / parts.cols.count % parts.out.count;
    const std::int64_t co0 = parts.out.begin(co), co1 = parts.out.end(co);
    const std::int64_t k0 = parts.cols.begin(task % parts.cols.count), k1 = parts.cols.end(task % parts.cols.count);
    const std::int64_t part = task / (parts.cols.count * parts.out.count);
    for (std::int64_t i = 0; i < co1 - co0; ++i) row[i] = (co0 + i) * depth;
    GemmBlock<P> block{};
    block.a = a;
    block.a_stride = kStrideA;
    block.a_k_major = true;
    block.b = b;
    block.b_panel = gemm.tile_cols;
    block.b_stride = kStrideB;
    block.rows = co1 - co0;
    block.cols = k1 - k0;
    block.c = sums + part * s.Cout * depth + k0;
    block.c_row = row;
    const std::int64_t end = parts.pixels.end(part);
    for (std::int64_t m0 = parts.pixels.begin(part); m0 < end; m0 += kPixelsOfBlock) {
      const std::int64_t m1 = std::min(end, m0 + kPixelsOfBlock);
      pack_columns(dy_rows, m0, m1, co0, co1, a, kStrideA, round_up(co1 - co0, gemm.row_step));
      pack_columns(x_rows, m0, m1, k0, k1, b, kStrideB, round_up(k1 - k0, gemm.tile_cols));
      block.depth = ceil_div(m1 - m0, kPer<P>);
      block.accumulate = m0 > parts.pixels.begin(part);
      gemm.block(block);
    }
  });
  if (parts.pixels.count == 1) return;
  const std::int64_t size = s.Cout * depth;
  const Blocks blocks = cut(size, 1024);
  parallel_for(blocks.count, [&](std::int64_t i) {
    pack_loops(T{}).add_partials(workspace + blocks.begin(i), size, parts.pixels.count, blocks.end(i) - blocks.begin(i),
                                 io.dweights.as<A>() + blocks.begin(i));
  });
}

}  // namespace

std::size_t own_conv_workspace(const ConvCase& c) {
  if (tile_conv_supports(c)) return tile_conv_workspace(c);
  const ConvShape& s = c.shape;
  std::int64_t elements = 0;
  if (c.pass == ConvPass::backward_weights) {
    const std::int64_t parts = WeightsCut(c).pixels.count;
    elements = parts == 1 ? 0 : parts * s.Cout * s.taps() * s.Cin;
  } else {
    const std::int64_t width = dispatch_storage(c.dtype, []<class T>(T) { return gemm_loops(Compute<T>{}).tile_cols; });
    const bool forward_pass = c.pass == ConvPass::forward;
    elements = s.taps() * (forward_pass ? s.Cin : s.Cout) * round_up(forward_pass ? s.Cout : s.Cin, width);
  }
  return static_cast<std::size_t>(elements) * (c.dtype == Dtype::f64 ? sizeof(double) : sizeof(float));
}

void own_conv(const ConvCase& c, const ConvOperands& io, void* workspace) {
  dispatch_storage(c.dtype, [&]<class T>(T) {
    switch (c.pass) {
      case ConvPass::forward:
        return forward<T>(c, io, workspace);
      case ConvPass::backward_data:
        return backward_data<T>(c, io, workspace);
      case ConvPass::backward_weights:
        if (tile_conv_supports(c)) return tile_weights(c, io, static_cast<float*>(workspace));
        dispatch_products<T>(true,
                             [&]<class P>(P) { backward_weights<T, P>(c, io, static_cast<Compute<T>*>(workspace)); });
    }
  });
}

}  // namespace unet::kernels::cpu
