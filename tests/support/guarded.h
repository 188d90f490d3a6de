// One buffer for every test that lets a kernel write: poison until written, guard zones round it. The poison is a NaN
// in every float type, and the guards hold the same: what reads too far shows as well as what writes too far.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/view.h"
#include "tests/support/poison.h"

namespace unet::tests {

inline double from_bf16(std::uint16_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
}

/// To nearest, ties to even; a NaN stays one.
inline std::uint16_t to_bf16(double value) {
  const auto number = static_cast<float>(value);
  const auto bits = std::bit_cast<std::uint32_t>(number);
  if (std::isnan(number)) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/// A tensor [N,H,W,C] of any dtype on memory of its own. The guards, before and behind it and in the gap between
/// channels and pitch, must still be poison when it dies. Elements count densely: i = ((n H + h) W + w) C + c.
class Guarded {
 public:
  using Dims = std::array<std::int64_t, 4>;

  /// gap: pitch - C. offset: elements that the first lies behind a 256-byte boundary.
  Guarded(kernels::Dtype dtype, const Dims& dims, std::int64_t gap = 0, std::int64_t offset = 0) {
    extent_.dtype = dtype;
    extent_.dims = dims;
    extent_.pitch = dims[3] + gap;
    const std::size_t before = kGuard + static_cast<std::size_t>(offset) * kernels::size_of(dtype);
    lines_.resize((before + tensor_bytes() + kGuard) / sizeof(Line) + 1);
    poison();
    first_ = lines_.data()->bytes + before;
  }
  Guarded(kernels::Dtype dtype, const Dims& dims, const std::vector<double>& values, std::int64_t gap = 0,
          std::int64_t offset = 0)
      : Guarded(dtype, dims, gap, offset) {
    for (std::size_t i = 0; i < values.size(); ++i) set(static_cast<std::int64_t>(i), values[i]);
  }
  Guarded(const Guarded&) = delete;
  Guarded(Guarded&& other) noexcept = default;
  ~Guarded() {
    if (lines_.empty()) return;  // moved away
    EXPECT_TRUE(intact()) << "written outside of [" << extent_.dims[0] << "," << extent_.dims[1] << ","
                          << extent_.dims[2] << "," << extent_.c() << "] with pitch " << extent_.pitch;
  }

  /// The tensor, to read or write: what is const is the buffer, not its values.
  kernels::View view() const {
    kernels::View out;
    static_cast<kernels::Extent&>(out) = extent_;
    out.data = first_;
    return out;
  }

  double get(std::int64_t i) const {
    switch (extent_.dtype) {
      case kernels::Dtype::f64:
        return read<double>(i);
      case kernels::Dtype::f32:
        return static_cast<double>(read<float>(i));
      case kernels::Dtype::bf16:
        return from_bf16(read<std::uint16_t>(i));
      case kernels::Dtype::i32:
        return read<std::int32_t>(i);
      default:
        return read<std::uint8_t>(i);
    }
  }
  void set(std::int64_t i, double value) {
    switch (extent_.dtype) {
      case kernels::Dtype::f64:
        return write(i, value);
      case kernels::Dtype::f32:
        return write(i, static_cast<float>(value));
      case kernels::Dtype::bf16:
        return write(i, to_bf16(value));
      case kernels::Dtype::i32:
        return write(i, static_cast<std::int32_t>(value));
      default:
        return write(i, static_cast<std::uint8_t>(value));
    }
  }
  /// As if nobody had written, guards included.
  void poison() { std::memset(lines_.data(), kPoison, lines_.size() * sizeof(Line)); }

  /// All elements, dense.
  std::vector<double> values() const {
    std::vector<double> all(static_cast<std::size_t>(extent_.size()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = get(static_cast<std::int64_t>(i));
    return all;
  }
  /// The bytes from the first element to the last, gaps included.
  std::vector<unsigned char> bytes() const { return {first_, first_ + tensor_bytes()}; }
  /// Everything, guards included, from a 256-byte boundary on: what a test on a device copies there and back.
  std::span<unsigned char> memory() { return {lines_.data()->bytes, lines_.size() * sizeof(Line)}; }
  /// Where in memory() the first element lies.
  std::size_t begin_byte() const { return static_cast<std::size_t>(first_ - lines_.data()->bytes); }

  /// False if a byte outside the elements was written.
  bool intact() const {
    const std::size_t element = kernels::size_of(extent_.dtype), bytes = tensor_bytes();
    const auto pitch = static_cast<std::size_t>(extent_.pitch) * element;
    const auto used = static_cast<std::size_t>(extent_.c()) * element;
    for (std::size_t at = 0; pitch > used && at < bytes; at += pitch) {
      if (!all_poison(first_ + at + used, pitch - used)) return false;
    }
    const std::size_t behind = begin_byte() + bytes;
    return all_poison(lines_.data(), begin_byte()) && all_poison(first_ + bytes, lines_.size() * sizeof(Line) - behind);
  }

 private:
  struct alignas(256) Line {
    unsigned char bytes[256];
  };
  static constexpr std::size_t kGuard = 4096;

  std::size_t tensor_bytes() const {
    return static_cast<std::size_t>(extent_.pixels() * extent_.pitch) * kernels::size_of(extent_.dtype);
  }
  unsigned char* place(std::int64_t i) const {
    const std::int64_t at = i / extent_.c() * extent_.pitch + i % extent_.c();
    return first_ + static_cast<std::size_t>(at) * kernels::size_of(extent_.dtype);
  }
  template <class T>
  T read(std::int64_t i) const {
    T value;
    std::memcpy(&value, place(i), sizeof value);
    return value;
  }
  template <class T>
  void write(std::int64_t i, T value) {
    std::memcpy(place(i), &value, sizeof value);
  }

  kernels::Extent extent_;
  std::vector<Line> lines_;
  unsigned char* first_ = nullptr;
};

}  // namespace unet::tests
