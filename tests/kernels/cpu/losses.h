// Recorded values and comparisons for the tests of losses, metrics and optimizer.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"
#include "kernels/view.h"
#include "tests/support/guarded.h"
#include "tests/support/long_run.h"
#include "tests/support/places.h"

namespace unet::kernels::test {

inline constexpr std::uint64_t kSeed = 20240607;

template <class T>
constexpr Dtype dtype_of() {
  if constexpr (std::is_same_v<T, double>) return Dtype::f64;
  if constexpr (std::is_same_v<T, float>) return Dtype::f32;
  return Dtype::u8;
}

/// A flat buffer of T. The address is not aligned to more than an element, so that no kernel can count on it.
template <class T>
class Guarded : public tests::Guarded {
 public:
  explicit Guarded(std::size_t count)
      : tests::Guarded(dtype_of<T>(), {1, 1, 1, static_cast<std::int64_t>(count)}, 0, 1), count_(count) {}
  template <class From>
  explicit Guarded(const std::vector<From>& values) : Guarded(values.size()) {
    for (std::size_t i = 0; i < values.size(); ++i) begin()[i] = static_cast<T>(values[i]);
  }

  View view(std::array<std::int64_t, 4> dims) {
    View result = flat();
    result.dims = dims;
    result.pitch = dims[3];
    EXPECT_EQ(result.size(), static_cast<std::int64_t>(count_));
    return result;
  }
  View flat() { return tests::Guarded::view(); }
  T* begin() { return flat().template as<T>(); }
  std::vector<T> values() { return {begin(), begin() + count_}; }

 private:
  std::size_t count_;
};

/// sum (a-b)^2 / sum b^2; the plain sum where b is all zero. NaN anywhere makes it NaN.
template <class A, class B>
double nmse(const std::vector<A>& a, const std::vector<B>& b) {
  EXPECT_EQ(a.size(), b.size());
  double error = 0, power = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    error += difference * difference;
    power += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return power == 0 ? error : error / power;
}

inline const nlohmann::json& torch_values() {
  static const nlohmann::json values =
      nlohmann::json::parse(std::ifstream(places::source("tests/kernels/cpu/torch_values.json")));
  return values;
}

struct Batch {
  std::array<std::int64_t, 4> dims;
  std::vector<double> logits;  // exact in f32
  std::vector<std::uint8_t> labels;

  std::array<std::int64_t, 4> label_dims() const { return {dims[0], dims[1], dims[2], 1}; }
  std::size_t pixels() const { return labels.size(); }
  std::size_t classes() const { return static_cast<std::size_t>(dims[3]); }
};

/// Seeded logits of deviation `spread`; every label that `random % 8 == 0` picks is 255.
inline Batch random_batch(std::array<std::int64_t, 4> dims, double spread = 3, bool ignore_some = true) {
  Batch batch{dims, {}, {}};
  std::mt19937_64 random(kSeed);
  std::normal_distribution<double> normal(0, spread);
  const std::int64_t pixels = dims[0] * dims[1] * dims[2];
  for (std::int64_t i = 0; i < pixels * dims[3]; ++i) {
    batch.logits.push_back(static_cast<double>(static_cast<float>(normal(random))));
  }
  for (std::int64_t i = 0; i < pixels; ++i) {
    const bool ignored = ignore_some && random() % 8 == 0;
    const auto label = random() % static_cast<std::uint64_t>(dims[3]);
    batch.labels.push_back(static_cast<std::uint8_t>(ignored ? 255 : label));
  }
  return batch;
}

inline Batch recorded_batch(const nlohmann::json& record) {
  return {record["shape"].get<std::array<std::int64_t, 4>>(), record["logits"].get<std::vector<double>>(),
          record["labels"].get<std::vector<std::uint8_t>>()};
}

/// Shapes around the ends of registers, strips (64 pixels) and blocks (2048), and the corners of N, H, W and C.
inline std::vector<std::array<std::int64_t, 4>> batch_shapes() {
  return {{1, 1, 1, 1}, {1, 1, 1, 2},  {3, 1, 1, 5},  {1, 7, 9, 2},    {1, 8, 8, 2},    {2, 5, 13, 2}, {1, 47, 89, 2},
          {2, 3, 5, 1}, {2, 8, 16, 3}, {1, 9, 7, 12}, {1, 11, 13, 21}, {2, 33, 63, 12}, {1, 2, 3, 256}};
}

/// Central differences of f at a few places of x against the gradient: atol 1e-5, rtol 1e-3.
inline void check_gradient(const std::function<double(const std::vector<double>&)>& f, const std::vector<double>& x,
                           const std::vector<double>& gradient) {
  constexpr double step = 1e-6;
  const std::size_t stride = std::max<std::size_t>(1, x.size() / 97);
  for (std::size_t i = 0; i < x.size(); i += stride) {
    std::vector<double> moved = x;
    moved[i] = x[i] + step;
    const double up = f(moved);
    moved[i] = x[i] - step;
    const double slope = (up - f(moved)) / (2 * step);
    EXPECT_NEAR(gradient[i], slope, 1e-5 + 1e-3 * std::fabs(slope)) << "element " << i << " of " << x.size();
  }
}

/// body() for several numbers of threads; what it returns (bytes) must not change.
inline void expect_same_for_any_threads(const std::function<std::vector<unsigned char>()>& body) {
  const int before = cpu::threads();
  cpu::set_threads(1);
  const std::vector<unsigned char> alone = body();
  for (const int count : {2, 3, 7}) {
    cpu::set_threads(count);
    EXPECT_EQ(body(), alone) << count << " threads";
  }
  cpu::set_threads(before);
}

template <class T>
void append_bytes(std::vector<unsigned char>& bytes, const T* values, std::size_t count) {
  const std::size_t old = bytes.size();
  bytes.resize(old + count * sizeof(T));
  std::memcpy(bytes.data() + old, values, count * sizeof(T));
}

/// The tables that this machine runs (all up to the one chosen).
template <class Table>
std::vector<const Table*> runnable(const Table& baseline, const Table& avx2, const Table& avx512) {
  std::vector<const Table*> tables{&baseline};
  if (cpu::isa() >= cpu::Isa::avx2) tables.push_back(&avx2);
  if (cpu::isa() >= cpu::Isa::avx512) tables.push_back(&avx512);
  return tables;
}

}  // namespace unet::kernels::test
