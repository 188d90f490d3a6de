// What the convolution tests share: naive double-precision references written from the formula, and buffers that are
// poisoned with NaN and lie between guard zones.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"

namespace unet::kernels::test {

using Values = std::vector<double>;

inline Values random_values(std::int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Values values(static_cast<std::size_t>(size));
  // Rounded to float, so that f32 and f64 runs and the reference start from the same numbers.
  for (double& value : values) value = static_cast<float>(normal(generator));
  return values;
}

inline bf16 rounded_to_bf16(double value) {  // to nearest, ties to even
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  if (std::isnan(value)) return {0x7fc0};
  return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

/// The dtype of weights, bias and their gradients beside activations of `dtype`.
inline Dtype parameter_dtype(Dtype dtype) { return dtype == Dtype::f64 ? Dtype::f64 : Dtype::f32; }

/// The NMSE of values rounded once to bf16: each is off by at most 2^-8 of itself; over many values the errors are
/// uniform, with a third of that as mean square.
inline double bf16_rounding(std::size_t values) { return values < 64 ? 0x1p-16 : 0x1p-16 / 3; }

/// The same for own products, whose weights are rounded besides where the CPU multiplies bf16: twice the error, about
/// (0.54 of the bound each, the mean of 1 / mantissa^2, so 5.5e-6 in all).
inline double bf16_products(std::size_t values) {
  if (cpu::isa() != cpu::Isa::avx512_bf16) return bf16_rounding(values);
  return values < 64 ? 2 * bf16_rounding(values) : 1e-5;
}

/// sum (a-b)^2 / sum b^2; NaN if anything is NaN.
inline double nmse(const Values& a, const Values& b) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return norm == 0 ? error : error / norm;
}

/// A tensor [N,H,W,C] of f32, f64 or bf16 with a channel pitch, between two guard zones. Everything starts as NaN; what
/// lies between the channels of a pitched tensor is guard too.
class Buffer {
 public:
  Buffer(Dtype dtype, std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t C, std::int64_t pitch = 0)
      : bytes_(static_cast<std::size_t>(2 * kGuard) +
               static_cast<std::size_t>(N * H * W * (pitch ? pitch : C)) * size_of(dtype) + 64) {
    view_.dtype = dtype;
    view_.dims = {N, H, W, C};
    view_.pitch = pitch ? pitch : C;
    std::memset(bytes_.data(), kPattern, bytes_.size());
    const auto address = reinterpret_cast<std::uintptr_t>(bytes_.data());
    view_.data = bytes_.data() + kGuard + (64 - address % 64) % 64;
    store(Values(static_cast<std::size_t>(view_.size()), std::numeric_limits<double>::quiet_NaN()));
  }
  Buffer(Dtype dtype, std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t C, const Values& values,
         std::int64_t pitch = 0)
      : Buffer(dtype, N, H, W, C, pitch) {
    store(values);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  const View& view() const { return view_; }

  Values values() const {
    Values out;
    for (std::int64_t p = 0; p < view_.pixels(); ++p) {
      for (std::int64_t c = 0; c < view_.c(); ++c) {
        const std::int64_t at = p * view_.pitch + c;
        if (view_.dtype == Dtype::bf16) {
          out.push_back(double(std::bit_cast<float>(std::uint32_t(view_.as<bf16>()[at].bits) << 16)));
        } else {
          out.push_back(view_.dtype == Dtype::f32 ? double(view_.as<float>()[at]) : view_.as<double>()[at]);
        }
      }
    }
    return out;
  }

  /// False if a byte outside the tensor's elements has changed.
  bool guards_intact() const {
    const std::size_t element = size_of(view_.dtype);
    const auto begin = static_cast<std::size_t>(view_.as<unsigned char>() - bytes_.data());
    const auto pixel = static_cast<std::size_t>(view_.pitch) * element;
    const auto end = begin + static_cast<std::size_t>(view_.pixels()) * pixel;
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      if (i >= begin && i < end && (i - begin) % pixel < static_cast<std::size_t>(view_.c()) * element) continue;
      if (bytes_[i] != kPattern) return false;
    }
    return true;
  }

 private:
  static constexpr int kGuard = 4096;
  static constexpr unsigned char kPattern = 0xA5;

  void store(const Values& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      const std::int64_t at = index / view_.c() * view_.pitch + index % view_.c();
      if (view_.dtype == Dtype::bf16) {
        view_.as<bf16>()[at] = rounded_to_bf16(values[i]);
      } else if (view_.dtype == Dtype::f32) {
        view_.as<float>()[at] = static_cast<float>(values[i]);
      } else {
        view_.as<double>()[at] = values[i];
      }
    }
  }

  std::vector<unsigned char> bytes_;
  View view_;
};

/// 64-byte aligned bytes, poisoned, between guards of their own.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes) : buffer_(Dtype::f32, 1, 1, 1, std::int64_t(bytes + 3) / 4 + 1) {}
  void* data() { return buffer_.view().data; }
  bool guards_intact() const { return buffer_.guards_intact(); }

 private:
  Buffer buffer_;
};

struct Reference {
  Values y, dx, dweights;
};

/// All three passes by the formula of kernels/conv_plan.h.
inline Reference convolve(const ConvSpec& spec, const ConvShape& s, const Values& x, const Values& weights,
                          const Values& bias, const Values& dy) {
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
