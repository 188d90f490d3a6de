// Shapes, dtypes, values and distances for the tests of kernels.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/cpu/streaming.h"
#include "kernels/view.h"
#include "tests/support/guarded.h"

namespace unet::kernels::test {

struct Shape {
  std::int64_t n, h, w, c;
  std::int64_t size() const { return n * h * w * c; }
  std::int64_t pixels() const { return n * h * w; }
  operator tests::Guarded::Dims() const { return {n, h, w, c}; }
  std::string text() const {
    std::ostringstream text;
    text << '[' << n << ',' << h << ',' << w << ',' << c << ']';
    return text.str();
  }
};

inline Shape pooled(Shape of) { return {of.n, of.h / 2, of.w / 2, of.c}; }

using Values = std::vector<double>;  // [N,H,W,C], dense

using tests::from_bf16;
using tests::to_bf16;

/// value as the dtype stores it.
inline double stored(Dtype dtype, double value) {
  if (dtype == Dtype::f32) return static_cast<double>(static_cast<float>(value));
  if (dtype == Dtype::bf16) return from_bf16(to_bf16(value));
  return value;
}

/// The dtype of parameters, their gradients, statistics and sums beside activations of `dtype`.
inline Dtype compute_dtype(Dtype dtype) { return dtype == Dtype::f64 ? Dtype::f64 : Dtype::f32; }

using Buffer = tests::Guarded;

/// Normally distributed, as `dtype` stores them.
inline Values random_values(std::uint64_t seed, Dtype dtype, std::int64_t size, double mean = 0, double sd = 1) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(mean, sd);
  Values values(static_cast<std::size_t>(size));
  for (double& value : values) value = stored(dtype, normal(generator));
  return values;
}

/// sum (a-b)^2 / sum scale^2; infinite where one is a NaN and the other is not.
inline double nmse(const Values& a, const Values& b, const Values& scale) {
  double error = 0;
  double square = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i])) return std::numeric_limits<double>::infinity();
    if (std::isnan(b[i])) continue;
    error += (a[i] - b[i]) * (a[i] - b[i]);
    square += scale[i] * scale[i];
  }
  return square > 0 ? error / square : error;
}
inline double nmse(const Values& a, const Values& b) { return nmse(a, b, b); }

/// Rounding errors of a few operations on values of order 1: (a few times epsilon)^2.
inline double tolerance(Dtype dtype) {
  if (dtype == Dtype::f64) return 1e-26;
  return dtype == Dtype::f32 ? 1e-12 : 1e-5;
}

inline void expect_same(const Values& a, const Values& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    ASSERT_EQ(a[i], b[i]) << "at element " << i;
  }
}

inline const std::vector<Dtype>& dtypes() {
  static const std::vector<Dtype> all{Dtype::f64, Dtype::f32, Dtype::bf16};
  return all;
}

/// Odd sizes, single pixels, batch 1, channels below, between and beyond the vector lengths.
inline const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{{1, 1, 1, 1},  {1, 1, 1, 17}, {2, 1, 1, 8},   {1, 2, 2, 3},   {1, 1, 7, 8},
                                      {3, 5, 1, 17}, {2, 3, 5, 64}, {1, 7, 6, 100}, {2, 8, 10, 17}, {1, 9, 9, 3},
                                      {2, 4, 4, 8},  {1, 6, 5, 64}, {2, 5, 7, 31},  {1, 10, 12, 48}};
  return all;
}

/// Large and small outputs are stored in different ways: calls body() with all outputs counted as small, then as large.
template <class Body>
void small_and_streamed(Body&& body) {
  const std::int64_t before = cpu::streaming_size();
  for (const bool streamed : {false, true}) {
    SCOPED_TRACE(streamed ? "streamed" : "");
    cpu::set_streaming_size(streamed ? 0 : before);
    body();
  }
  cpu::set_streaming_size(before);
}

/// The reference of a 2x2 window: index 0..3 of the first maximum in scan order; NaN wins.
inline int winner(const double (&window)[4]) {
  int best = 0;
  for (int k = 1; k < 4; ++k) {
    if (window[k] > window[best] || std::isnan(window[k])) best = k;
  }
  return best;
}

/// Calls body(pooled element, the window's four elements of x) for x of `shape`.
inline void for_windows(Shape shape, const std::function<void(std::int64_t, const std::int64_t (&)[4])>& body) {
  const Shape out = pooled(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) {
    const std::int64_t c = i % out.c;
    const std::int64_t w = i / out.c % out.w;
    const std::int64_t h = i / (out.c * out.w) % out.h;
    const std::int64_t n = i / (out.c * out.w * out.h);
    const auto at = [&](std::int64_t dh, std::int64_t dw) {
      return ((n * shape.h + 2 * h + dh) * shape.w + 2 * w + dw) * shape.c + c;
    };
    body(i, {at(0, 0), at(0, 1), at(1, 0), at(1, 1)});
  }
}

}  // namespace unet::kernels::test
