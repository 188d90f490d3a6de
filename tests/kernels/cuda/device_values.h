// Structures and bytes in device memory, for kernels that leave sums there, and views of host vectors beside them.
#pragma once

#include "tests/kernels/cuda/harness.h"

namespace unet::kernels::test {

/// `count` of T in device memory, 0xff bytes or given values.
template <class T>
class DeviceValues {
 public:
  explicit DeviceValues(std::size_t count = 1) : count_(count), memory_(count * sizeof(T)) {}
  explicit DeviceValues(const std::vector<T>& values) : DeviceValues(values.size()) {
    cuda::runtime().copy_to_device(memory_.data(), values.data(), count_ * sizeof(T));
    cuda::runtime().synchronize();
  }
  T* data() const { return static_cast<T*>(memory_.data()); }
  std::vector<T> values() const {
    std::vector<T> out(count_);
    cuda::runtime().copy_to_host(out.data(), memory_.data(), count_ * sizeof(T));
    cuda::runtime().synchronize();
    return out;
  }
  T value() const { return values()[0]; }

 private:
  std::size_t count_;
  DeviceMemory memory_;
};

template <class T>
View host_view(std::vector<T>& values, Dtype dtype, Shape shape) {
  View out;
  out.dtype = dtype;
  out.dims = {shape.n, shape.h, shape.w, shape.c};
  out.pitch = shape.c;
  out.data = values.data();
  return out;
}

/// Two runs leave the same bytes.
template <class T>
void expect_same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  ASSERT_EQ(a.size(), b.size());
  if (a.empty()) return;  // memcmp takes no null pointer
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0);
}

inline std::vector<std::uint8_t> bytes_of(const Values& values) {
  std::vector<std::uint8_t> out;
  for (const double value : values) out.push_back(static_cast<std::uint8_t>(value));
  return out;
}

}  // namespace unet::kernels::test
