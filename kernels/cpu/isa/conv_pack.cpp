#include "kernels/cpu/isa/conv_pack.h"

#include "kernels/bf16.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

void copy(const bf16* __restrict from, std::int64_t size, float* __restrict to) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < size; ++e) to[e] = widen(from[e]);
}

template <class T>
void copy(const T* __restrict from, std::int64_t size, T* __restrict to) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < size; ++e) to[e] = from[e];
}

template <class T>
void zero(std::int64_t size, T* __restrict to) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < size; ++e) to[e] = T{};
}

/// `run` columns, from element c of the pixel under tap (tap_h, tap_w) on, for rows [m0, m1). They may reach into the
/// pixels to the right.
template <class T, class D>
void gather_run(const Gather<T>& g, std::int64_t m0, std::int64_t m1, std::int64_t tap_h, std::int64_t tap_w,
                std::int64_t c, std::int64_t run, D* to, std::int64_t stride) {
  const std::int64_t line = g.W * g.pitch;
  for (std::int64_t m = m0; m < m1;) {
    // One row of the grid, as far as it is wanted.
    const std::int64_t gw = m % g.grid_w, n_gh = m / g.grid_w;
    const std::int64_t count = g.grid_w - gw < m1 - m ? g.grid_w - gw : m1 - m;
    const std::int64_t h = n_gh % g.grid_h * g.step + g.h0 + tap_h;
    m += count;
    if (h < 0 || h >= g.H) {
      for (std::int64_t r = 0; r < count; ++r, to += stride) zero(run, to);
      continue;
    }
    const T* row = g.src + (n_gh / g.grid_h * g.H + h) * line;
    std::int64_t at = (gw * g.step + g.w0 + tap_w) * g.pitch + c;
    for (std::int64_t r = 0; r < count; ++r, to += stride, at += g.step * g.pitch) {
      if (at >= 0 && at + run <= line) {
        copy(row + at, run, to);
        continue;
      }
      const std::int64_t left = at < 0 ? (-at < run ? -at : run) : 0;
      const std::int64_t end = line - at < run ? (line - at > left ? line - at : left) : run;
      zero(left, to);
      copy(row + at + left, end - left, to + left);
      zero(run - end, to + end);
    }
  }
}

template <class T, class D>
void gather(const Gather<T>& g, std::int64_t m0, std::int64_t m1, std::int64_t k0, std::int64_t k1, D* dst,
            std::int64_t stride, std::int64_t row_pad, std::int64_t col_pad) {
  // In a dense tensor the taps of one kernel row are neighbours in memory: one long run instead of taps_w short ones.
  const bool dense = g.pitch == g.C;
  const std::int64_t span = dense ? g.taps_w * g.C : g.C, spans = dense ? 1 : g.taps_w;
  for (std::int64_t k = k0; k < k1;) {
    const std::int64_t tap = k / span, c = k % span;
    const std::int64_t run = span - c < k1 - k ? span - c : k1 - k;
    gather_run(g, m0, m1, tap / spans, tap % spans, c, run, dst + k - k0, stride);
    k += run;
  }
  const std::int64_t rows = m1 - m0, cols = k1 - k0;
  if (col_pad > cols) {
    for (std::int64_t r = 0; r < rows; ++r) zero(col_pad - cols, dst + r * stride + cols);
  }
  for (std::int64_t r = rows; r < row_pad; ++r) zero(cols > col_pad ? cols : col_pad, dst + r * stride);
}

template <class T>
void weights(const T* __restrict w, std::int64_t stride_c, std::int64_t stride_j, std::int64_t depth, std::int64_t cols,
             std::int64_t width, T* __restrict dst) {
  if (stride_j == 1) {
    for (std::int64_t c = 0; c < depth; ++c) {
      for (std::int64_t j = 0; j < cols; ++j) dst[c * width + j] = w[c * stride_c + j];
      for (std::int64_t j = cols; j < width; ++j) dst[c * width + j] = T(0);
    }
    return;
  }
  // A transposition: short runs of c keep the lines of dst in L1 until all columns have been written.
  constexpr std::int64_t kRun = 64;
  for (std::int64_t c0 = 0; c0 < depth; c0 += kRun) {
    const std::int64_t c1 = c0 + kRun < depth ? c0 + kRun : depth;
    for (std::int64_t j = 0; j < cols; ++j) {
      for (std::int64_t c = c0; c < c1; ++c) dst[c * width + j] = w[c * stride_c + j * stride_j];
    }
    for (std::int64_t c = c0; c < c1; ++c) {
      for (std::int64_t j = cols; j < width; ++j) dst[c * width + j] = T(0);
    }
  }
}

#if defined(UNET_ISA_avx512)
std::uint32_t bf16_bits(float x) { return narrow(x).bits; }

void pair_weights(const float* __restrict w, std::int64_t stride_c, std::int64_t stride_j, std::int64_t depth,
                  std::int64_t cols, std::int64_t width, BfPair* __restrict dst) {
  constexpr std::int64_t kRun = 64;  // as in weights()
  for (std::int64_t c0 = 0; c0 < depth; c0 += kRun) {
    const std::int64_t c1 = c0 + kRun < depth ? c0 + kRun : depth;
    if (stride_j == 1) {
      for (std::int64_t c = c0; c < c1; c += 2) {
        const float* first = w + c * stride_c;
        const float* second = first + stride_c;
        BfPair* to = dst + c / 2 * width;
#pragma GCC ivdep
        for (std::int64_t j = 0; j < cols; ++j) to[j].bits = bf16_bits(first[j]) | bf16_bits(second[j]) << 16;
      }
    } else {
      for (std::int64_t j = 0; j < cols; ++j) {
        for (std::int64_t c = c0; c < c1; c += 2) {
          const float* at = w + c * stride_c + j * stride_j;
          dst[c / 2 * width + j].bits = bf16_bits(at[0]) | bf16_bits(at[stride_c]) << 16;
        }
      }
    }
    for (std::int64_t c = c0; c < c1; c += 2) {
      for (std::int64_t j = cols; j < width; ++j) dst[c / 2 * width + j] = {};
    }
  }
}

void interleave(const bf16* __restrict rows, std::int64_t stride, std::int64_t count, std::int64_t cols,
                BfPair* __restrict dst) {
  for (std::int64_t r = 0; r < count; ++r) {
    const bf16* first = rows + 2 * r * stride;
    const bf16* second = first + stride;
    BfPair* to = dst + r * stride;
#pragma GCC ivdep
    for (std::int64_t j = 0; j < cols; ++j) {
      to[j].bits = first[j].bits | static_cast<std::uint32_t>(second[j].bits) << 16;
    }
  }
}

#endif

template <class T>
void add_partials(const T* __restrict partials, std::int64_t distance, std::int64_t count, std::int64_t size,
                  T* __restrict dst) {
  for (std::int64_t i = 0; i < size; ++i) dst[i] = partials[i];
  for (std::int64_t p = 1; p < count; ++p) {
    const T* __restrict from = partials + p * distance;
    for (std::int64_t i = 0; i < size; ++i) dst[i] += from[i];
  }
}

}  // namespace

const ConvPackTable conv_pack_loops{{gather<float, float>, weights<float>, add_partials<float>},
                                    {gather<double, double>, weights<double>, add_partials<double>},
                                    {gather<bf16, float>, weights<float>, add_partials<float>}};
#if defined(UNET_ISA_avx512)
const PairPackLoops pair_pack_loops{gather<bf16, bf16>, pair_weights, interleave};
#endif

}  // namespace unet::kernels::cpu::UNET_ISA
