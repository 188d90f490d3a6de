#include "engine/core/tensor.h"

#include <cstring>
#include <utility>

#include "engine/core/device_memory.h"
#include "engine/core/dispatch.h"
#include "kernels/bf16.h"
#include "kernels/elementwise.h"

namespace unet {
namespace {

double load(const void* data, Dtype dtype, std::int64_t i) {
  switch (dtype) {
    case Dtype::f64:
      return static_cast<const double*>(data)[i];
    case Dtype::f32:
      return static_cast<const float*>(data)[i];
    case Dtype::bf16:
      return kernels::widen(static_cast<const kernels::bf16*>(data)[i]);
    case Dtype::u8:
      return static_cast<const std::uint8_t*>(data)[i];
    case Dtype::i32:
      return static_cast<const std::int32_t*>(data)[i];
  }
  return 0;
}

void store(void* data, Dtype dtype, std::int64_t i, double value) {
  switch (dtype) {
    case Dtype::f64:
      static_cast<double*>(data)[i] = value;
      return;
    case Dtype::f32:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      return;
    case Dtype::bf16:
      static_cast<kernels::bf16*>(data)[i] = kernels::narrow(static_cast<float>(value));
      return;
    case Dtype::u8:
      static_cast<std::uint8_t*>(data)[i] = static_cast<std::uint8_t>(value);
      return;
    case Dtype::i32:
      static_cast<std::int32_t*>(data)[i] = static_cast<std::int32_t>(value);
      return;
  }
}

std::size_t bytes_of(const Shape& shape, Dtype dtype) {
  if (shape.rank() == 0) throw Error("Tensor::empty: a tensor needs a shape");
  return static_cast<std::size_t>(shape.size()) * kernels::size_of(dtype);
}

}  // namespace

Tensor Tensor::over(std::shared_ptr<void> storage, const Shape& shape, Dtype dtype, Device device) {
  Tensor out;
  out.data_ = storage.get();
  out.storage_ = std::move(storage);
  out.shape_ = shape;
  out.pitch_ = shape.channels();
  out.dtype_ = dtype;
  out.device_ = device;
  return out;
}

Tensor Tensor::empty(const Shape& shape, Dtype dtype, Device device) {
  return over(pool_of(device).shared(bytes_of(shape, dtype)), shape, dtype, device);
}

Tensor Tensor::zeros(const Shape& shape, Dtype dtype, Device device) {
  Tensor out = empty(shape, dtype, device);
  zero_bytes(out.data_, device, out.bytes());
  return out;
}

template <class T>
Tensor Tensor::of(const Shape& shape, Dtype dtype, const std::vector<T>& values) {
  if (static_cast<std::int64_t>(values.size()) != shape.size()) {
    throw Error("Tensor::of: {} values for shape {}", values.size(), shape.str());
  }
  Tensor out = empty(shape, dtype);
  for (std::int64_t i = 0; i < shape.size(); ++i) {
    store(out.data_, dtype, i, static_cast<double>(values[static_cast<std::size_t>(i)]));
  }
  return out;
}

Tensor Tensor::copy_of(const Shape& shape, Dtype dtype, const void* bytes, Device device) {
  return over(uploaded(device, bytes, bytes_of(shape, dtype)), shape, dtype, device);
}

Tensor Tensor::to(Device device) const {
  if (device == device_) return *this;
  const Tensor from = dense() ? *this : clone();
  if (device_.is_cpu()) return copy_of(shape_, dtype_, from.data_, device);
  Tensor out = empty(shape_, dtype_, device);
  download(out.data_, from.data_, device_, out.bytes());
  return out;
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  if (begin < 0 || begin >= end || end > shape_.channels()) {
    throw Error("slice: channels [{}, {}) of a tensor {}", begin, end, shape_.str());
  }
  Tensor out = *this;
  out.data_ = static_cast<std::byte*>(data_) + static_cast<std::size_t>(begin) * kernels::size_of(dtype_);
  const std::int64_t width = end - begin;
  switch (shape_.rank()) {
    case 1:
      out.shape_ = {width};
      break;
    case 2:
      out.shape_ = {shape_[0], width};
      break;
    case 3:
      out.shape_ = {shape_[0], shape_[1], width};
      break;
    default:
      out.shape_ = {shape_[0], shape_[1], shape_[2], width};
      break;
  }
  return out;
}

Tensor Tensor::reshape(const Shape& shape) const {
  if (!dense() || shape.size() != shape_.size()) {
    throw Error("reshape: {} (pitch {}) cannot become {}", shape_.str(), pitch_, shape.str());
  }
  Tensor out = *this;
  out.shape_ = shape;
  out.pitch_ = shape.channels();
  return out;
}

Tensor Tensor::range(std::int64_t offset, const Shape& shape) const {
  if (!dense() || offset < 0 || offset + shape.size() > size()) {
    throw Error("range: {} at element {} of a tensor {}", shape.str(), offset, shape_.str());
  }
  Tensor out = *this;
  out.data_ = static_cast<std::byte*>(data_) + static_cast<std::size_t>(offset) * kernels::size_of(dtype_);
  out.shape_ = shape;
  out.pitch_ = shape.channels();
  return out;
}

Tensor Tensor::clone() const {
  Tensor out = empty(shape_, dtype_, device_);
  if (dense()) {
    copy_bytes(out.data_, data_, device_, bytes());
    return out;
  }
  if (!device_.is_cpu()) {
    dispatch<cpu::copy, cuda::copy>(device_, const_view(), out.view());
    return out;
  }
  const std::size_t row = static_cast<std::size_t>(shape_.channels()) * kernels::size_of(dtype_);
  const std::size_t stride = static_cast<std::size_t>(pitch_) * kernels::size_of(dtype_);
  const std::int64_t rows = row == 0 ? 0 : shape_.size() / shape_.channels();
  for (std::int64_t i = 0; i < rows; ++i) {
    std::memcpy(static_cast<std::byte*>(out.data_) + static_cast<std::size_t>(i) * row,
                static_cast<const std::byte*>(data_) + static_cast<std::size_t>(i) * stride, row);
  }
  return out;
}

kernels::View Tensor::view() const {
  kernels::View out;
  if (!defined()) return out;
  out.data = data_;
  out.dtype = dtype_;
  out.dims = shape_.dims();
  out.pitch = pitch_;
  return out;
}

template <class T>
std::vector<T> Tensor::values() const {
  if (!device_.is_cpu()) return to(Device{}).values<T>();
  std::vector<T> out;
  out.reserve(static_cast<std::size_t>(size()));
  const std::int64_t rows = size() == 0 ? 0 : size() / shape_.channels();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t c = 0; c < shape_.channels(); ++c) {
      out.push_back(static_cast<T>(load(data_, dtype_, row * pitch_ + c)));
    }
  }
  return out;
}

template Tensor Tensor::of(const Shape&, Dtype, const std::vector<float>&);
template Tensor Tensor::of(const Shape&, Dtype, const std::vector<double>&);
template Tensor Tensor::of(const Shape&, Dtype, const std::vector<std::uint8_t>&);
template Tensor Tensor::of(const Shape&, Dtype, const std::vector<std::int32_t>&);
template std::vector<float> Tensor::values() const;
template std::vector<double> Tensor::values() const;
template std::vector<std::uint8_t> Tensor::values() const;
template std::vector<std::int32_t> Tensor::values() const;

}  // namespace unet
