// The one-dimensional transforms of Winograd's minimal filtering F(M,3): M outputs of a 3-tap filter with M+2 products
// instead of 3M. With g the filter, d the M+2 inputs, o the element-wise product:
//
//   forward          y  = A^T [ (G g) o (B^T d) ]
//   filter gradient  dg = G^T [ (A dy) o (B^T d) ]       (the transpose of the same map in g)
//
// Applied along rows and columns they give F(MxM,3x3): 64 products for 36 outputs (M=6; direct: 324), 36 for 16 (M=4;
// direct: 144) or 16 for 4 (M=2; direct: 36). A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural
// Networks", CVPR 2016, section 4.
//
// The matrices are those of polynomial interpolation at 0, +-a, +-b (, +-c) and infinity, written as factored code: the
// pair +-a shares its even and its odd part.
#pragma once

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {

template <int M>
struct Points;

/// Points 0, +-sqrt(1/2), +-sqrt(2), infinity: 3.5 to 4.5 times less squared error than the usual 0, +-1, +-2 at the
/// same cost, for the powers of the points stay nearer to one another.
template <>
struct Points<4> {
  static constexpr double a = 0.70710678118654752440, b = 1.41421356237309504880;
  static constexpr double a2 = a * a, b2 = b * b;
  static constexpr double na = 1 / (2 * a2 * (a2 - b2)), nb = 1 / (2 * b2 * (b2 - a2));  // Lagrange denominators

  [[gnu::always_inline]] static Vec constant(double x) { return broadcast(static_cast<float>(x)); }

  /// Rows 3*half to 3*half + 2 of v = B^T d, 6 -> 6. The halves share nothing but d.
  template <int half>
  [[gnu::always_inline]] static void input(const Vec* d, Vec* v) {
    if constexpr (half == 0) {
      const Vec even = fnma(constant(b2), d[2], d[4]), odd = fnma(constant(b2), d[1], d[3]);
      v[0] = fma(constant(a2 * b2), d[0], fnma(constant(a2 + b2), d[2], d[4]));
      v[1] = fma(constant(a), odd, even);
      v[2] = fnma(constant(a), odd, even);
    } else {
      const Vec even = fnma(constant(a2), d[2], d[4]), odd = fnma(constant(a2), d[1], d[3]);
      v[0] = fma(constant(b), odd, even);
      v[1] = fnma(constant(b), odd, even);
      v[2] = fma(constant(a2 * b2), d[1], fnma(constant(a2 + b2), d[3], d[5]));
    }
  }
  /// u = G g, 3 -> 6.
  [[gnu::always_inline]] static void filter(const Vec* g, Vec* u) {
    const Vec even_a = constant(na) * fma(constant(a2), g[2], g[0]);
    const Vec even_b = constant(nb) * fma(constant(b2), g[2], g[0]);
    u[0] = constant(1 / (a2 * b2)) * g[0];
    u[1] = fma(constant(a * na), g[1], even_a);
    u[2] = fnma(constant(a * na), g[1], even_a);
    u[3] = fma(constant(b * nb), g[1], even_b);
    u[4] = fnma(constant(b * nb), g[1], even_b);
    u[5] = g[2];
  }
  /// y = A^T m, 6 -> 4.
  [[gnu::always_inline]] static void output(const Vec* m, Vec* y) {
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + (even_a + even_b);
    y[1] = fma(constant(a), odd_a, constant(b) * odd_b);
    y[2] = fma(constant(a2), even_a, constant(b2) * even_b);
    y[3] = fma(constant(a * a2), odd_a, fma(constant(b * b2), odd_b, m[5]));
  }
  /// m = A dy, 4 -> 6.
  [[gnu::always_inline]] static void output_gradient(const Vec* dy, Vec* m) {
    const Vec even_a = fma(constant(a2), dy[2], dy[0]), odd_a = fma(constant(a2), dy[3], dy[1]);
    const Vec even_b = fma(constant(b2), dy[2], dy[0]), odd_b = fma(constant(b2), dy[3], dy[1]);
    m[0] = dy[0];
    m[1] = fma(constant(a), odd_a, even_a);
    m[2] = fnma(constant(a), odd_a, even_a);
    m[3] = fma(constant(b), odd_b, even_b);
    m[4] = fnma(constant(b), odd_b, even_b);
    m[5] = dy[3];
  }
  /// dg = G^T m, 6 -> 3.
  [[gnu::always_inline]] static void filter_gradient(const Vec* m, Vec* dg) {
    const Vec even_a = constant(na) * (m[1] + m[2]), odd_a = m[1] - m[2];
    const Vec even_b = constant(nb) * (m[3] + m[4]), odd_b = m[3] - m[4];
    dg[0] = fma(constant(1 / (a2 * b2)), m[0], even_a + even_b);
    dg[1] = fma(constant(a * na), odd_a, constant(b * nb) * odd_b);
    dg[2] = fma(constant(a2), even_a, fma(constant(b2), even_b, m[5]));
  }
};

/// Points 0, +-1/2, +-1, +-2, infinity, the best of those tried: fifteen times the squared error of F(4x4).
template <>
struct Points<6> {
  static constexpr double a2 = 0.25, b2 = 1, c2 = 4;                  // a = 1/2, b = 1, c = 2
  static constexpr double na = 1 / (2 * a2 * (a2 - b2) * (a2 - c2));  // Lagrange denominators
  static constexpr double nb = 1 / (2 * b2 * (b2 - a2) * (b2 - c2)), nc = 1 / (2 * c2 * (c2 - a2) * (c2 - b2));

  [[gnu::always_inline]] static Vec constant(double x) { return broadcast(static_cast<float>(x)); }

  /// v = B^T d, 8 -> 8.
  [[gnu::always_inline]] static void input(const Vec* d, Vec* v) {
    const Vec even_a = fma(constant(b2 * c2), d[2], fnma(constant(b2 + c2), d[4], d[6]));
    const Vec odd_a = fma(constant(b2 * c2), d[1], fnma(constant(b2 + c2), d[3], d[5]));
    const Vec even_b = fma(constant(a2 * c2), d[2], fnma(constant(a2 + c2), d[4], d[6]));
    const Vec odd_b = fma(constant(a2 * c2), d[1], fnma(constant(a2 + c2), d[3], d[5]));
    const Vec even_c = fma(constant(a2 * b2), d[2], fnma(constant(a2 + b2), d[4], d[6]));
    const Vec odd_c = fma(constant(a2 * b2), d[1], fnma(constant(a2 + b2), d[3], d[5]));
    constexpr double sum = a2 + b2 + c2, pairs = a2 * b2 + a2 * c2 + b2 * c2, product = a2 * b2 * c2;
    v[0] = fnma(constant(product), d[0], fma(constant(pairs), d[2], fnma(constant(sum), d[4], d[6])));
    v[1] = fma(constant(0.5), odd_a, even_a);
    v[2] = fnma(constant(0.5), odd_a, even_a);
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
    v[5] = fma(constant(2), odd_c, even_c);
    v[6] = fnma(constant(2), odd_c, even_c);
    v[7] = fnma(constant(product), d[1], fma(constant(pairs), d[3], fnma(constant(sum), d[5], d[7])));
  }
  /// u = G g, 3 -> 8.
  [[gnu::always_inline]] static void filter(const Vec* g, Vec* u) {
    const Vec even_a = constant(na) * fma(constant(a2), g[2], g[0]);
    const Vec even_b = constant(nb) * (g[0] + g[2]);
    const Vec even_c = constant(nc) * fma(constant(c2), g[2], g[0]);
    u[0] = constant(-1 / (a2 * b2 * c2)) * g[0];
    u[1] = fma(constant(0.5 * na), g[1], even_a);
    u[2] = fnma(constant(0.5 * na), g[1], even_a);
    u[3] = fma(constant(nb), g[1], even_b);
    u[4] = fnma(constant(nb), g[1], even_b);
    u[5] = fma(constant(2 * nc), g[1], even_c);
    u[6] = fnma(constant(2 * nc), g[1], even_c);
    u[7] = g[2];
  }
  /// y = A^T m, 8 -> 6.
  [[gnu::always_inline]] static void output(const Vec* m, Vec* y) {
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    const Vec even_c = m[5] + m[6], odd_c = m[5] - m[6];
    y[0] = (m[0] + even_a) + (even_b + even_c);
    y[1] = fma(constant(0.5), odd_a, fma(constant(2), odd_c, odd_b));
    y[2] = fma(constant(a2), even_a, fma(constant(c2), even_c, even_b));
    y[3] = fma(constant(0.5 * a2), odd_a, fma(constant(2 * c2), odd_c, odd_b));
    y[4] = fma(constant(a2 * a2), even_a, fma(constant(c2 * c2), even_c, even_b));
    y[5] = fma(constant(0.5 * a2 * a2), odd_a, fma(constant(2 * c2 * c2), odd_c, odd_b + m[7]));
  }
  /// m = A dy, 6 -> 8.
  [[gnu::always_inline]] static void output_gradient(const Vec* dy, Vec* m) {
    const Vec even_a = fma(constant(a2), fma(constant(a2), dy[4], dy[2]), dy[0]);
    const Vec odd_a = fma(constant(a2), fma(constant(a2), dy[5], dy[3]), dy[1]);
    const Vec even_b = (dy[4] + dy[2]) + dy[0], odd_b = (dy[5] + dy[3]) + dy[1];
    const Vec even_c = fma(constant(c2), fma(constant(c2), dy[4], dy[2]), dy[0]);
    const Vec odd_c = fma(constant(c2), fma(constant(c2), dy[5], dy[3]), dy[1]);
    m[0] = dy[0];
    m[1] = fma(constant(0.5), odd_a, even_a);
    m[2] = fnma(constant(0.5), odd_a, even_a);
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = fma(constant(2), odd_c, even_c);
    m[6] = fnma(constant(2), odd_c, even_c);
    m[7] = dy[5];
  }
  /// dg = G^T m, 8 -> 3.
  [[gnu::always_inline]] static void filter_gradient(const Vec* m, Vec* dg) {
    const Vec even_a = constant(na) * (m[1] + m[2]), odd_a = m[1] - m[2];
    const Vec even_b = m[3] + m[4], odd_b = m[3] - m[4];
    const Vec even_c = constant(nc) * (m[5] + m[6]), odd_c = m[5] - m[6];
    dg[0] = fma(constant(-1 / (a2 * b2 * c2)), m[0], even_a + fma(constant(nb), even_b, even_c));
    dg[1] = fma(constant(0.5 * na), odd_a, fma(constant(2 * nc), odd_c, constant(nb) * odd_b));
    dg[2] = fma(constant(a2), even_a, fma(constant(c2), even_c, fma(constant(nb), even_b, m[7])));
  }
};

/// Points 0, +-1, infinity.
template <>
struct Points<2> {
  template <int half>
  [[gnu::always_inline]] static void input(const Vec* d, Vec* v) {
    if constexpr (half == 0) {
      v[0] = d[2] - d[0];
      v[1] = d[2] + d[1];
    } else {
      v[0] = d[2] - d[1];
      v[1] = d[3] - d[1];
    }
  }
  [[gnu::always_inline]] static void filter(const Vec* g, Vec* u) {
    const Vec half = broadcast(0.5f), even = half * (g[0] + g[2]);
    u[0] = -g[0];
    u[1] = fma(half, g[1], even);
    u[2] = fnma(half, g[1], even);
    u[3] = g[2];
  }
  [[gnu::always_inline]] static void output(const Vec* m, Vec* y) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) + m[3];
  }
  [[gnu::always_inline]] static void output_gradient(const Vec* dy, Vec* m) {
    m[0] = dy[0];
    m[1] = dy[0] + dy[1];
    m[2] = dy[0] - dy[1];
    m[3] = dy[1];
  }
  [[gnu::always_inline]] static void filter_gradient(const Vec* m, Vec* dg) {
    const Vec half = broadcast(0.5f), even = m[1] + m[2];
    dg[0] = fma(half, even, -m[0]);
    dg[1] = half * (m[1] - m[2]);
    dg[2] = fma(half, even, m[3]);
  }
};

}  // namespace unet::kernels::cpu::UNET_ISA
