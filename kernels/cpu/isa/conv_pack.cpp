#include "kernels/cpu/isa/conv_pack.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void gather(const Gather<T>& g, std::int64_t m0, std::int64_t m1, std::int64_t k0, std::int64_t k1, T* dst,
            std::int64_t stride, std::int64_t row_pad, std::int64_t col_pad) {
  const std::int64_t first_tap = k0 / g.C;
  const std::int64_t first_c = k0 % g.C;
  const std::int64_t first_i = first_tap / g.taps_w;
  const std::int64_t first_j = first_tap % g.taps_w;
  std::int64_t gw = m0 % g.grid_w;
  std::int64_t gh = m0 / g.grid_w % g.grid_h;
  std::int64_t n = m0 / (g.grid_w * g.grid_h);
  T* __restrict row = dst;
  for (std::int64_t m = m0; m < m1; ++m, row += stride) {
    std::int64_t i = first_i, j = first_j, c = first_c;
    T* __restrict to = row;
    for (std::int64_t left = k1 - k0; left > 0;) {
      const std::int64_t run = g.C - c < left ? g.C - c : left;
      const std::int64_t h = gh * g.step + g.h0 + i * g.direction;
      const std::int64_t w = gw * g.step + g.w0 + j * g.direction;
      if (h >= 0 && h < g.H && w >= 0 && w < g.W) {
        const T* __restrict from = g.src + ((n * g.H + h) * g.W + w) * g.pitch + c;
        for (std::int64_t e = 0; e < run; ++e) to[e] = from[e];
      } else {
        for (std::int64_t e = 0; e < run; ++e) to[e] = T(0);
      }
      to += run;
      left -= run;
      c = 0;
      if (++j == g.taps_w) {
        j = 0;
        ++i;
      }
    }
    for (std::int64_t e = k1 - k0; e < col_pad; ++e) row[e] = T(0);
    if (++gw == g.grid_w) {
      gw = 0;
      if (++gh == g.grid_h) {
        gh = 0;
        ++n;
      }
    }
  }
  const std::int64_t width = k1 - k0 > col_pad ? k1 - k0 : col_pad;
  for (std::int64_t m = m1 - m0; m < row_pad; ++m, row += stride) {
    for (std::int64_t e = 0; e < width; ++e) row[e] = T(0);
  }
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

const ConvPackLoops<float> conv_pack_f32{gather<float>, weights<float>, add_partials<float>};
const ConvPackLoops<double> conv_pack_f64{gather<double>, weights<double>, add_partials<double>};

}  // namespace unet::kernels::cpu::UNET_ISA
