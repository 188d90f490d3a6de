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

namespace unet::kernels::test {

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
    cuda::runtime().fill_bytes(data_, tests::kPoison, bytes);
  }
  ~DeviceMemory() { cuda::runtime().release(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
};

/// A tensor in device memory, with the poison and the guards of a Buffer, which holds the same bytes here.
class DeviceTensor {
 public:
  /// Uninitialised, for a kernel to write. offset: elements that the first lies behind a 256-byte boundary.
  DeviceTensor(Dtype dtype, Shape shape, std::int64_t gap = 0, std::int64_t offset = 0)
      : here_(dtype, shape, gap, offset), memory_(here_.memory().size()) {
    upload();
  }
  DeviceTensor(Dtype dtype, Shape shape, const Values& values, std::int64_t gap = 0, std::int64_t offset = 0)
      : here_(dtype, shape, values, gap, offset), memory_(here_.memory().size()) {
    upload();
  }

  View view() const {
    View out = here_.view();
    out.data = static_cast<unsigned char*>(memory_.data()) + here_.begin_byte();
    return out;
  }

  /// What the device holds now, dense; fails the test if a guard was written.
  Values values() {
    cuda::runtime().copy_to_host(here_.memory().data(), memory_.data(), here_.memory().size());
    cuda::runtime().synchronize();
    EXPECT_TRUE(here_.intact());
    return here_.values();
  }

 private:
  void upload() {
    cuda::runtime().copy_to_device(memory_.data(), here_.memory().data(), here_.memory().size());
    cuda::runtime().synchronize();
  }

  Buffer here_;
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

}  // namespace unet::kernels::test
