// What the convolution tests share: naive double-precision references written from the formula, and bounds.
#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test {

inline Values random_values(std::int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Values values(static_cast<std::size_t>(size));
  // Rounded to float, so that f32 and f64 runs and the reference start from the same numbers.
  for (double& value : values) value = static_cast<float>(normal(generator));
  return values;
}

/// The NMSE of values rounded once to bf16: each is off by at most 2^-8 of itself; over many values the errors are
/// uniform, with a third of that as mean square.
inline double bf16_rounding(std::size_t values) { return values < 64 ? 0x1p-16 : 0x1p-16 / 3; }

/// The same for own products, whose weights are rounded besides where the CPU multiplies bf16: twice the error, about
/// (0.54 of the bound each, the mean of 1 / mantissa^2, so 5.5e-6 in all).
inline double bf16_products(std::size_t values) {
  if (cpu::isa() < cpu::Isa::avx512_bf16) return bf16_rounding(values);
  return values < 64 ? 2 * bf16_rounding(values) : 1e-5;
}

/// 64-byte aligned bytes, poisoned, between guards of their own.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes) : buffer_(Dtype::u8, {1, 1, 1, static_cast<std::int64_t>(bytes)}) {}
  void* data() { return buffer_.view().data; }
  bool intact() const { return buffer_.intact(); }

 private:
  Buffer buffer_;
};

struct Reference {
  Values y, dx, dweights;
};

/// All three passes by the formula of kernels/conv_plan.h.
inline Reference convolve(const ConvSpec& spec, const ConvShape& s, const Values& x, const Values& weights,
                          const Values& bias, const Values& residual, const Values& dy) {
  Reference r;
  const ConvCase c{{}, spec, s, {}};
  const std::int64_t Ho = c.Ho(), Wo = c.Wo();
  r.y.assign(static_cast<std::size_t>(s.N * Ho * Wo * s.Cout), 0);
  r.dx.assign(x.size(), 0);
  r.dweights.assign(weights.size(), 0);
  for (std::int64_t n = 0; n < s.N; ++n)
    for (std::int64_t ho = 0; ho < Ho; ++ho)
      for (std::int64_t wo = 0; wo < Wo; ++wo)
        for (std::int64_t co = 0; co < s.Cout; ++co) {
          const auto at_y = static_cast<std::size_t>(((n * Ho + ho) * Wo + wo) * s.Cout + co);
          double sum = spec.bias ? bias[static_cast<std::size_t>(co)] : 0;
          if (spec.residual) sum += residual[at_y];
          for (std::int64_t kh = 0; kh < s.Kh; ++kh)
            for (std::int64_t kw = 0; kw < s.Kw; ++kw) {
              const std::int64_t h = ho * spec.stride - spec.pad + kh, w = wo * spec.stride - spec.pad + kw;
              if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
              for (std::int64_t ci = 0; ci < s.Cin; ++ci) {
                const auto at_x = static_cast<std::size_t>(((n * s.H + h) * s.W + w) * s.Cin + ci);
                const auto at_w = static_cast<std::size_t>(((co * s.Kh + kh) * s.Kw + kw) * s.Cin + ci);
                sum += x[at_x] * weights[at_w];
                r.dx[at_x] += dy[at_y] * weights[at_w];
                r.dweights[at_w] += dy[at_y] * x[at_x];
              }
            }
          r.y[at_y] = spec.relu && sum < 0 ? 0 : sum;
        }
  return r;
}

}  // namespace unet::kernels::test
