// What the losses share: softmax over a strip of pixels, in registers that run along the pixels.
//
// Logits lie pixel by pixel with few channels, so a strip of 64 pixels is first taken apart into planes, one per class
// ([C][strip], in the first cache), computed on whole, and put together again. A shorter strip, at the end of a block,
// is padded with zeros and with labels that do not count, so every loop over a strip has the same fixed length. Sums
// are f64. Memory types are T; bf16 would join in split() and join() alone.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu::UNET_ISA {

inline constexpr int strip = 64;
inline constexpr int max_classes = 256;  // labels are u8

#if defined(UNET_ISA_avx512)
inline constexpr int register_bytes = 64;
#elif defined(UNET_ISA_avx2)
inline constexpr int register_bytes = 32;
#else
inline constexpr int register_bytes = 16;
#endif

template <class T>
struct Register;
template <>
struct Register<float> {
  using Int = std::int32_t;
  typedef float Reals __attribute__((vector_size(register_bytes)));
  typedef std::int32_t Ints __attribute__((vector_size(register_bytes)));
};
template <>
struct Register<double> {
  using Int = std::int64_t;
  typedef double Reals __attribute__((vector_size(register_bytes)));
  typedef std::int64_t Ints __attribute__((vector_size(register_bytes)));
};
/// A register of T, and one of integers of the same size (labels, masks).
template <class T>
using Reals = typename Register<T>::Reals;
template <class T>
using Ints = typename Register<T>::Ints;
template <class T>
using Int = typename Register<T>::Int;
template <class T>
inline constexpr int lanes_of = register_bytes / static_cast<int>(sizeof(T));

template <class T>
[[gnu::always_inline]] inline Reals<T> at(const T* p) {
  Reals<T> value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}
template <class T>
[[gnu::always_inline]] inline Ints<T> labels_at(const Int<T>* p) {
  Ints<T> value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}
template <class T>
[[gnu::always_inline]] inline void put(T* p, Reals<T> value) {
  __builtin_memcpy(p, &value, sizeof value);
}
template <class T>
[[gnu::always_inline]] inline Reals<T> all(T value) {
  return value - Reals<T>{};
}

/// e^x for x <= 0. 2^n by exponent bits times a polynomial on [-ln2/2, ln2/2] (Cephes expf), error <= 2 ulp; 0 below
/// the smallest normal number. NaN stays NaN.
[[gnu::always_inline]] inline Reals<float> exp_nonpositive(Reals<float> x) {
  constexpr float round_to_integer = 12582912.0f;  // 1.5 * 2^23: the sum has no bits below 1, its low bits are n
  const Reals<float> shifted = x * 1.44269504088896341f + round_to_integer;
  const Reals<float> n = shifted - round_to_integer;
  const Reals<float> r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Reals<float> y = 1.9875691500e-4f * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  const Reals<float> power = reinterpret_cast<Reals<float>>((reinterpret_cast<Ints<float>>(shifted) + 127) << 23);
  return x < -87.3365447f ? Reals<float>{} : y * power;
}
[[gnu::always_inline]] inline Reals<double> exp_nonpositive(Reals<double> x) {
  for (int k = 0; k < lanes_of<double>; ++k) x[k] = __builtin_exp(x[k]);
  return x;
}

/// log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: f - (f^2/2 - s*(f^2/2 + R(s^2))), s = f/(2+f) (fdlibm logf), 1
/// ulp.
[[gnu::always_inline]] inline Reals<float> log1p_near_zero(Reals<float> f) {
  const Reals<float> s = f / (f + 2.0f);
  const Reals<float> z = s * s;
  const Reals<float> r = z * (((z * 0.24279078841f + 0.28498786688f) * z + 0.40000972152f) * z + 0.66666662693f);
  const Reals<float> half_square = 0.5f * f * f;
  return f - (half_square - s * (half_square + r));
}

/// log(1 + u) for u in [0, 1], with full relative accuracy near 0.
[[gnu::always_inline]] inline Reals<float> log1p_unit(Reals<float> u) {
  const auto large = u > 0.41421356f;
  const Reals<float> f = large ? 0.5f * u - 0.5f : u;
  return log1p_near_zero(f) + (large ? all(0.693147181f) : Reals<float>{});
}
[[gnu::always_inline]] inline Reals<double> log1p_unit(Reals<double> u) {
  for (int k = 0; k < lanes_of<double>; ++k) u[k] = __builtin_log1p(u[k]);
  return u;
}

/// log(s) for s in [1, max_classes], or NaN.
[[gnu::always_inline]] inline Reals<float> log_of_sum(Reals<float> s) {
  const Ints<float> bits = reinterpret_cast<Ints<float>>(s);
  const Ints<float> k = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3: sqrt(1/2)
  const Reals<float> mantissa = reinterpret_cast<Reals<float>>(bits - (k << 23));
  // Taking the bits apart hides a NaN; s - s brings it back.
  return __builtin_convertvector(k, Reals<float>) * 0.693147181f + log1p_near_zero(mantissa - 1.0f) + (s - s);
}
[[gnu::always_inline]] inline Reals<double> log_of_sum(Reals<double> s) {
  for (int k = 0; k < lanes_of<double>; ++k) s[k] = __builtin_log(s[k]);
  return s;
}

/// A sum over strips.
struct Sum {
  typedef double Eight __attribute__((vector_size(8 * sizeof(double))));
  Eight lane;

  [[gnu::always_inline]] void clear() { lane = Eight{}; }

  template <class T>
  [[gnu::always_inline]] void add(const T (&x)[strip]) {
    typedef T EightT __attribute__((vector_size(8 * sizeof(T))));
    for (int i = 0; i < strip; i += 8) {
      EightT values;
      __builtin_memcpy(&values, x + i, sizeof values);
      lane += __builtin_convertvector(values, Eight);
    }
  }
  [[gnu::always_inline]] double total() const {
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
  }
};

/// chosen[i] = the label where it counts, -1 elsewhere and beyond n. Returns how many are neither a class nor ignored.
template <class I>
[[gnu::always_inline]] inline int choose(const std::uint8_t* __restrict labels, int n, int C, int ignore_index,
                                         I* __restrict chosen) {
  std::uint8_t padded[strip];
  if (n < strip) {
    __builtin_memcpy(padded, labels, static_cast<std::size_t>(n));
    __builtin_memset(padded + n, 0, static_cast<std::size_t>(strip - n));
    labels = padded;
  }
  int valid = 0, ignored = 0;
  for (int i = 0; i < strip; ++i) {
    chosen[i] = (labels[i] < C) & (labels[i] != ignore_index) ? labels[i] : -1;
    ignored += labels[i] == ignore_index;
    valid += (labels[i] < C) & (labels[i] != ignore_index);
  }
  const int invalid = strip - ignored - valid;
  for (int i = n; i < strip; ++i) chosen[i] = -1;
  return invalid;  // the padding is label 0: valid or ignored, never invalid
}

/// Vectors would scatter: a load and a store for each element are faster.
template <class T>
[[gnu::noinline, gnu::optimize("no-tree-vectorize")]] void transpose_strip(const T* __restrict x, int rows, int columns,
                                                                           int x_pitch, int y_pitch, T* __restrict y) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < columns; ++c) y[c * y_pitch + i] = x[i * x_pitch + c];
  }
}

template <class T>
[[gnu::always_inline]] inline void split_two(const T* x, T* planes) {
  for (int i = 0; i < strip; i += lanes_of<T>) {
    const Reals<T> a = at(x + 2 * i), b = at(x + 2 * i + lanes_of<T>);
    Ints<T> even;
    for (int k = 0; k < lanes_of<T>; ++k) even[k] = 2 * k;
    put(planes + i, __builtin_shuffle(a, b, even));
    put(planes + strip + i, __builtin_shuffle(a, b, even + 1));
  }
}

/// planes[c][i] = x[i][c] for i < n, 0 beyond.
template <class T>
[[gnu::always_inline]] inline void split(const T* x, int n, int C, T* planes) {
  if (C == 2 && n == strip) return split_two(x, planes);
  if (n < strip) {
    for (int i = 0; i < C * strip; ++i) planes[i] = 0;
  }
  transpose_strip(x, n, C, C, strip, planes);
}

template <class T>
[[gnu::always_inline]] inline void join_two(const T* planes, T* y) {
  constexpr int N = lanes_of<T>;
  for (int i = 0; i < strip; i += N) {
    const Reals<T> a = at(planes + i), b = at(planes + strip + i);
    Ints<T> low;
    for (int k = 0; k < N; ++k) low[k] = k / 2 + (k % 2) * N;
    put(y + 2 * i, __builtin_shuffle(a, b, low));
    put(y + 2 * i + N, __builtin_shuffle(a, b, low + N / 2));
  }
}

/// y[i][c] = planes[c][i] for i < n.
template <class T>
[[gnu::always_inline]] inline void join(const T* planes, int n, int C, T* y) {
  if (C == 2 && n == strip) return join_two(planes, y);
  transpose_strip(planes, C, n, strip, C, y);
}

/// The largest logit of every pixel; a NaN in class 0 stays.
template <class T>
[[gnu::always_inline]] inline void find_largest(const T* planes, int C, T* largest) {
  for (int i = 0; i < strip; i += lanes_of<T>) {
    Reals<T> best = at(planes + i);
    for (int c = 1; c < C; ++c) {
      const Reals<T> x = at(planes + c * strip + i);
      best = x > best ? x : best;
    }
    put(largest + i, best);
  }
}

/// planes becomes e^(planes - largest), sum its sum over the classes.
template <class T>
[[gnu::always_inline]] inline void exponentials(int C, const T* largest, T* planes, T* sum) {
  for (int i = 0; i < strip; i += lanes_of<T>) {
    const Reals<T> top = at(largest + i);
    Reals<T> total = {};
    for (int c = 0; c < C; ++c) {
      const Reals<T> e = exp_nonpositive(at(planes + c * strip + i) - top);
      put(planes + c * strip + i, e);
      total += e;
    }
    put(sum + i, total);
  }
}

/// planes becomes the softmax over the classes.
template <class T>
[[gnu::always_inline]] inline void softmax(int C, T* planes) {
  T largest[strip], sum[strip];
  find_largest(planes, C, largest);
  exponentials(C, largest, planes, sum);
  for (int i = 0; i < strip; i += lanes_of<T>) {
    const Reals<T> factor = T{1} / at(sum + i);
    for (int c = 0; c < C; ++c) put(planes + c * strip + i, at(planes + c * strip + i) * factor);
  }
}

}  // namespace unet::kernels::cpu::UNET_ISA
