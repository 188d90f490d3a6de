// For tests that hold a CUDA kernel against the CPU's, wherever runtime() leads: to the CPU stand-in or to a GPU. A
// case puts the same numbers, as the dtype stores them, into DeviceTensors for the one and into Buffers for the other:
//
//   const Values numbers = random_values(seed, dtype, shape.size());
//   DeviceTensor x(dtype, shape, numbers, gap), y(dtype, shape, gap);     Buffer cx(Dtype::f32, shape, numbers),
//   cuda::relu_forward(x.view(), y.view());                                      cy(Dtype::f32, shape);
//   expect_close(dtype, y.values(), cy.values());                         cpu::relu_forward(cx.view(), cy.view());
//
// bf16 is held against the CPU's f32 op on the bf16-rounded numbers: what differs is the rounding of the result.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::testing {

/// Skips the test, with the reason, where there is no device.
class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const cuda::DeviceCount found = cuda::runtime().devices();
    if (found.count == 0) GTEST_SKIP() << "no device: " << found.reason;
  }
};

/// Device memory for scratch, poisoned.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : data_(cuda::runtime().allocate(std::max<std::size_t>(1, bytes))) {
    if (data_ == nullptr) throw std::runtime_error("out of device memory");
    cuda::runtime().fill_bytes(data_, 0xff, bytes);
  }
  ~DeviceMemory() { cuda::runtime().release(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
};

/// A tensor in device memory: 0xff bytes (a NaN in every float type) until written; guards before and after it and in
/// the gap between channels and pitch, which values() checks. f32, bf16, u8 and i32.
class DeviceTensor {
 public:
  /// Uninitialised, for a kernel to write. offset: elements that the first lies behind a 256-byte boundary.
  DeviceTensor(Dtype dtype, Shape shape, std::int64_t gap = 0, std::int64_t offset = 0)
      : dtype_(dtype),
        shape_(shape),
        pitch_(shape.c + gap),
        begin_(kGuard + static_cast<std::size_t>(offset) * size_of(dtype)),
        image_(begin_ + bytes() + kGuard, kPoison),
        memory_(image_.size()) {
    upload();
  }
  DeviceTensor(Dtype dtype, Shape shape, const Values& values, std::int64_t gap = 0, std::int64_t offset = 0)
      : DeviceTensor(dtype, shape, gap, offset) {
    for (std::size_t i = 0; i < values.size(); ++i) set(i, values[i]);
    upload();
  }

  View view() const {
    View out;
    out.dtype = dtype_;
    out.dims = {shape_.n, shape_.h, shape_.w, shape_.c};
    out.pitch = pitch_;
    out.data = static_cast<unsigned char*>(memory_.data()) + begin_;
    return out;
  }

  /// What the device holds now, dense; fails the test if a guard was written.
  Values values() {
    cuda::runtime().copy_to_host(image_.data(), memory_.data(), image_.size());
    cuda::runtime().synchronize();
    EXPECT_TRUE(intact()) << "written outside of " << shape_.text() << " with pitch " << pitch_;
    Values out(static_cast<std::size_t>(shape_.size()));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = get(i);
    return out;
  }

 private:
  static constexpr std::size_t kGuard = 256;
  static constexpr unsigned char kPoison = 0xff;

  void upload() {
    cuda::runtime().copy_to_device(memory_.data(), image_.data(), image_.size());
    cuda::runtime().synchronize();
  }
  std::size_t element() const { return size_of(dtype_); }
  std::size_t bytes() const { return static_cast<std::size_t>(shape_.pixels() * pitch_) * element(); }
  unsigned char* place(std::size_t i) {
    const auto c = static_cast<std::size_t>(shape_.c);
    return image_.data() + begin_ + (i / c * static_cast<std::size_t>(pitch_) + i % c) * element();
  }
  template <class T>
  static void put(unsigned char* at, T value) {
    std::memcpy(at, &value, sizeof value);
  }
  template <class T>
  static T take(const unsigned char* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  void set(std::size_t i, double value) {
    if (dtype_ == Dtype::f32) return put(place(i), static_cast<float>(value));
    if (dtype_ == Dtype::bf16) return put(place(i), to_bf16(value));
    if (dtype_ == Dtype::i32) return put(place(i), static_cast<std::int32_t>(value));
    put(place(i), static_cast<std::uint8_t>(value));
  }
  double get(std::size_t i) {
    if (dtype_ == Dtype::f32) return static_cast<double>(take<float>(place(i)));
    if (dtype_ == Dtype::bf16) return from_bf16(take<std::uint16_t>(place(i)));
    if (dtype_ == Dtype::i32) return take<std::int32_t>(place(i));
    return *place(i);
  }
  bool poisoned(std::size_t begin, std::size_t end) const {
    return std::all_of(image_.begin() + static_cast<std::ptrdiff_t>(begin),
                       image_.begin() + static_cast<std::ptrdiff_t>(end), [](unsigned char b) { return b == kPoison; });
  }
  bool intact() const {
    const auto pitch = static_cast<std::size_t>(pitch_) * element(),
               used = static_cast<std::size_t>(shape_.c) * element();
    for (std::size_t at = begin_; pitch > used && at < begin_ + bytes(); at += pitch) {
      if (!poisoned(at + used, at + pitch)) return false;
    }
    return poisoned(0, begin_) && poisoned(begin_ + bytes(), image_.size());
  }

  Dtype dtype_;
  Shape shape_;
  std::int64_t pitch_;
  std::size_t begin_;
  std::vector<unsigned char> image_;  // all of memory_, guards included
  DeviceMemory memory_;
};

inline const std::vector<Dtype>& device_dtypes() {
  static const std::vector<Dtype> all{Dtype::f32, Dtype::bf16};
  return all;
}

/// Half the distance between neighbours of bf16 (8 binary digits), relative to the number.
inline constexpr double kBf16Rounding = 1.0 / 256;

/// got, stored as dtype, against what the CPU computed in f32. f32: NMSE. bf16: each element within the rounding of its
/// storage, and of `roundings` values like it that were stored on the way, plus the f32 difference (relative to the
/// largest).
inline void expect_close(Dtype dtype, const Values& got, const Values& want, double f32_nmse = 1e-12,
                         double roundings = 1) {
  ASSERT_EQ(got.size(), want.size());
  if (dtype != Dtype::bf16) {
    EXPECT_LE(nmse(got, want), f32_nmse);
    return;
  }
  double largest = 0;
  for (const double value : want) largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i]) continue;
    const double bound = roundings * kBf16Rounding * std::abs(want[i]) + 10 * std::sqrt(f32_nmse) * largest;
    ASSERT_LE(std::abs(got[i] - want[i]), bound) << "element " << i << ": " << got[i] << ", want " << want[i];
  }
}

}  // namespace unet::kernels::testing
