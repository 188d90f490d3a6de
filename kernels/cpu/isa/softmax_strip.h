// What the losses share: softmax over a strip of pixels, in registers that run along the pixels.
//
// Logits lie pixel by pixel with few channels, so a strip of 64 pixels is first taken apart into planes, one per class
// ([C][strip], in the first cache), computed on whole, and put together again. A shorter strip, at the end of a block,
// is padded with zeros and with labels that do not count, so every loop over a strip has the same fixed length. Sums
// are f64.
#pragma once

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {

inline constexpr int strip = 64;
inline constexpr int max_classes = 256;  // labels are u8

template <class T>
struct IntOf {
  using type = std::int32_t;
};
template <>
struct IntOf<double> {
  using type = std::int64_t;
};
/// An integer of T's size, for labels and masks; a register of T, and one of such integers.
template <class T>
using Int = typename IntOf<T>::type;
template <class T>
using Reals = Vector<T>;
template <class T>
using Ints = Vector<Int<T>>;

/// e^x for x <= 0. 2^n by exponent bits times a polynomial on [-ln2/2, ln2/2] (Cephes expf), error <= 2 ulp; 0 below
/// the smallest normal number. NaN stays NaN.
[[gnu::always_inline]] inline Vec exp_nonpositive(Vec x) {
  const Vec round_to_integer = broadcast(12582912.0f);  // 1.5 * 2^23: the sum has no bits below 1, its low bits are n
  const Vec shifted = fma(x, broadcast(1.44269504088896341f), round_to_integer);
  const Vec n = shifted - round_to_integer;
  const Vec r = fnma(n, broadcast(-2.12194440e-4f), fnma(n, broadcast(0.693359375f), x));
  Vec y = broadcast(1.9875691500e-4f);
  constexpr float rest[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
  for (const float c : rest) y = fma(y, r, broadcast(c));
  y = fma(y, r * r, r) + 1.0f;
  const Vec power = reinterpret_cast<Vec>((reinterpret_cast<Ints<float>>(shifted) + 127) << 23);
  return x < -87.3365447f ? Vec{} : y * power;
}
[[gnu::always_inline]] inline Reals<double> exp_nonpositive(Reals<double> x) {
  for (int k = 0; k < full_lanes<double>; ++k) x[k] = __builtin_exp(x[k]);
  return x;
}

/// log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: f - (f^2/2 - s*(f^2/2 + R(s^2))), s = f/(2+f) (fdlibm logf), 1
/// ulp.
[[gnu::always_inline]] inline Vec log1p_near_zero(Vec f) {
  const Vec s = f / (f + 2.0f);
  const Vec z = s * s;
  Vec r = fma(z, broadcast(0.24279078841f), broadcast(0.28498786688f));
  r = fma(fma(r, z, broadcast(0.40000972152f)), z, broadcast(0.66666662693f));
  const Vec half_square = 0.5f * f * f;
  return f - fnma(s, fma(z, r, half_square), half_square);
}

/// log(1 + u) for u in [0, 1], with full relative accuracy near 0.
[[gnu::always_inline]] inline Vec log1p_unit(Vec u) {
  const auto large = u > 0.41421356f;
  const Vec f = large ? 0.5f * u - 0.5f : u;
  return log1p_near_zero(f) + (large ? broadcast(0.693147181f) : Vec{});
}
[[gnu::always_inline]] inline Reals<double> log1p_unit(Reals<double> u) {
  for (int k = 0; k < full_lanes<double>; ++k) u[k] = __builtin_log1p(u[k]);
  return u;
}

/// log(s) for s > 0 that is normal, or NaN.
[[gnu::always_inline]] inline Vec log_of_sum(Vec s) {
  const Ints<float> bits = reinterpret_cast<Ints<float>>(s);
  const Ints<float> k = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3: sqrt(1/2)
  const Vec mantissa = reinterpret_cast<Vec>(bits - (k << 23));
  // Taking the bits apart hides a NaN; s - s brings it back.
  return fma(__builtin_convertvector(k, Vec), broadcast(0.693147181f), log1p_near_zero(mantissa - 1.0f)) + (s - s);
}
[[gnu::always_inline]] inline Reals<double> log_of_sum(Reals<double> s) {
  for (int k = 0; k < full_lanes<double>; ++k) s[k] = __builtin_log(s[k]);
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
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Reals<T> a = load(x + 2 * i), b = load(x + 2 * i + full_lanes<T>);
    Ints<T> even;
    for (int k = 0; k < full_lanes<T>; ++k) even[k] = 2 * k;
    store(planes + i, __builtin_shuffle(a, b, even));
    store(planes + strip + i, __builtin_shuffle(a, b, even + 1));
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
  constexpr int N = full_lanes<T>;
  for (int i = 0; i < strip; i += N) {
    const Reals<T> a = load(planes + i), b = load(planes + strip + i);
    Ints<T> low;
    for (int k = 0; k < N; ++k) low[k] = k / 2 + (k % 2) * N;
    store(y + 2 * i, __builtin_shuffle(a, b, low));
    store(y + 2 * i + N, __builtin_shuffle(a, b, low + N / 2));
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
  for (int i = 0; i < strip; i += full_lanes<T>) {
    Reals<T> best = load(planes + i);
    for (int c = 1; c < C; ++c) {
      const Reals<T> x = load(planes + c * strip + i);
      best = x > best ? x : best;
    }
    store(largest + i, best);
  }
}

/// planes becomes e^(planes - largest), sum its sum over the classes.
template <class T>
[[gnu::always_inline]] inline void exponentials(int C, const T* largest, T* planes, T* sum) {
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Reals<T> top = load(largest + i);
    Reals<T> total = {};
    for (int c = 0; c < C; ++c) {
      const Reals<T> e = exp_nonpositive(load(planes + c * strip + i) - top);
      store(planes + c * strip + i, e);
      total += e;
    }
    store(sum + i, total);
  }
}

/// planes becomes the softmax over the classes.
template <class T>
[[gnu::always_inline]] inline void softmax(int C, T* planes) {
  T largest[strip], sum[strip];
  find_largest(planes, C, largest);
  exponentials(C, largest, planes, sum);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Reals<T> factor = T{1} / load(sum + i);
    for (int c = 0; c < C; ++c) store(planes + c * strip + i, load(planes + c * strip + i) * factor);
  }
}

/// The same with two classes: nothing is summed, so small probabilities keep their digits.
template <class T>
[[gnu::always_inline]] inline void softmax_of_two(T* planes) {
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Reals<T> d = load(planes + strip + i) - load(planes + i);
    const Reals<T> u = exp_nonpositive(d > 0 ? -d : d);
    const Reals<T> large = T{1} / (u + T{1});
    const Reals<T> small = u * large;
    store(planes + i, d > 0 ? small : large);
    store(planes + strip + i, d > 0 ? large : small);
  }
}

/// What the Dice sums of one class need from a strip: p and p*t of the pixels that count. Returns sum t.
template <class T>
[[gnu::always_inline]] inline std::int64_t select_class(const T* plane, const Int<T>* chosen, int c, T* p, T* pt) {
  Ints<T> truth = {};
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    store(p + i, label >= 0 ? load(plane + i) : Reals<T>{});
    store(pt + i, label == c ? load(plane + i) : Reals<T>{});
    truth -= label == c;
  }
  std::int64_t total = 0;
  for (int k = 0; k < full_lanes<T>; ++k) total += truth[k];
  return total;
}

}  // namespace unet::kernels::cpu::UNET_ISA
