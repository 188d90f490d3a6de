// What the losses share: exp and log that the compiler can vectorise, and softmax over a strip of pixels.
//
// Logits lie pixel by pixel with few channels, so the vector runs along the pixels: a strip of up to `strip` pixels is
// taken apart into planes, one per class, small enough for the first cache. Sums over a strip are f64.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu::UNET_ISA {

inline constexpr int strip = 64;
inline constexpr int max_classes = 256;  // labels are u8

/// e^x for x <= 0. f32: 2^n by exponent bits times a polynomial on [-ln2/2, ln2/2] (Cephes expf), error <= 2 ulp;
/// 0 below the smallest normal number. NaN stays NaN.
[[gnu::always_inline]] inline float exp_nonpositive(float x) {
  constexpr float round_to_integer = 12582912.0f;  // 1.5 * 2^23: the sum has no bits below 1, its low bits are n
  const float shifted = x * 1.44269504088896341f + round_to_integer;
  const float n = shifted - round_to_integer;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  const std::uint32_t exponent = (__builtin_bit_cast(std::uint32_t, shifted) + 127u) << 23;
  const float result = y * __builtin_bit_cast(float, exponent);
  return x < -87.3365447f ? 0.0f : result;
}
[[gnu::always_inline]] inline double exp_nonpositive(double x) { return __builtin_exp(x); }

/// log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: f - f^2/2 + s*(f^2/2 + R(s^2)), s = f/(2+f) (fdlibm logf), 1 ulp.
[[gnu::always_inline]] inline float log1p_near_zero(float f) {
  const float s = f / (2.0f + f);
  const float z = s * s;
  const float r = z * (0.66666662693f + z * (0.40000972152f + z * (0.28498786688f + z * 0.24279078841f)));
  const float half_square = 0.5f * f * f;
  return f - (half_square - s * (half_square + r));
}

/// log(1 + u) for u in [0, 1], with full relative accuracy near 0.
[[gnu::always_inline]] inline float log1p_unit(float u) {
  const bool large = u > 0.41421356f;
  const float f = large ? 0.5f * u - 0.5f : u;
  return log1p_near_zero(f) + (large ? 0.693147181f : 0.0f);
}
[[gnu::always_inline]] inline double log1p_unit(double u) { return __builtin_log1p(u); }

/// log(s) for s in [1, max_classes], or NaN.
[[gnu::always_inline]] inline float log_of_sum(float s) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, s);
  const std::uint32_t k = (bits - 0x3f3504f3u) >> 23;
  const float mantissa = __builtin_bit_cast(float, bits - (k << 23));
  // Taking the bits apart hides a NaN; s - s brings it back.
  return static_cast<float>(static_cast<std::int32_t>(k)) * 0.693147181f + log1p_near_zero(mantissa - 1.0f) + (s - s);
}
[[gnu::always_inline]] inline double log_of_sum(double s) { return __builtin_log(s); }

/// Sum of a whole strip; the unused end of a strip must hold zeros.
template <class T>
[[gnu::always_inline]] inline double sum_of_strip(const T* x) {
  double lane[8] = {};
  for (int i = 0; i < strip; i += 8) {
    for (int k = 0; k < 8; ++k) lane[k] += static_cast<double>(x[i + k]);
  }
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/// planes[c * strip + i] = e^(x[i*C + c] - largest[i]) and sum[i] over c, for n <= strip pixels.
template <class T>
[[gnu::always_inline]] inline void exponentials(const T* __restrict x, int n, int C, T* __restrict planes,
                                                T* __restrict largest, T* __restrict sum) {
  for (int i = 0; i < n; ++i) {
    planes[i] = x[i * C];
    largest[i] = planes[i];
    sum[i] = 0;
  }
  for (int c = 1; c < C; ++c) {
    T* plane = planes + c * strip;
    for (int i = 0; i < n; ++i) {
      const T value = x[i * C + c];
      plane[i] = value;
      largest[i] = value > largest[i] ? value : largest[i];
    }
  }
  for (int c = 0; c < C; ++c) {
    T* plane = planes + c * strip;
    for (int i = 0; i < n; ++i) {
      plane[i] = exp_nonpositive(plane[i] - largest[i]);
      sum[i] += plane[i];
    }
  }
}

}  // namespace unet::kernels::cpu::UNET_ISA
