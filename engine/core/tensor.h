// A typed block of pool memory with a shape. Copying a Tensor shares the memory; slices share it too.
//
// Layout: dense in all but the last size, whose rows may lie `pitch` elements apart (a channel slice of a wider
// tensor).
#pragma once

#include <memory>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/shape.h"
#include "kernels/view.h"

namespace unet {

using kernels::Dtype;

class Tensor {
 public:
  /// An undefined tensor: "not wanted", "not given".
  Tensor() = default;
  /// Uninitialised memory from the device's pool. Throws Error when memory is out.
  static Tensor empty(const Shape& shape, Dtype dtype, Device device = {});
  static Tensor zeros(const Shape& shape, Dtype dtype, Device device = {});
  /// A copy of host values. values.size() must be shape.size().
  template <class T>
  static Tensor of(const Shape& shape, Dtype dtype, const std::vector<T>& values);

  /// A copy of size() * element-size bytes in memory order.
  static Tensor copy_of(const Shape& shape, Dtype dtype, const void* bytes, Device device = {});

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  Device device() const { return device_; }
  std::int64_t size() const { return shape_.size(); }
  /// Of a dense tensor.
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * kernels::size_of(dtype_); }
  /// Elements between neighbouring rows of the last size.
  std::int64_t pitch() const { return pitch_; }
  bool dense() const { return pitch_ == shape_.channels(); }
  /// Nobody else holds this memory or a part of it.
  bool sole() const { return storage_.use_count() == 1; }

  /// Channels [begin, end) of every pixel; shares memory, keeps the pitch.
  Tensor slice(std::int64_t begin, std::int64_t end) const;
  /// The same memory under another shape of the same size; the tensor must be dense.
  Tensor reshape(const Shape& shape) const;
  /// A range of `shape.size()` elements beginning at element `offset` of a dense tensor; shares memory.
  Tensor range(std::int64_t offset, const Shape& shape) const;
  /// The tensor itself if it lives there, else a dense copy. To the host it waits for the device.
  Tensor to(Device device) const;
  /// A dense copy with memory of its own.
  Tensor clone() const;

  /// The memory as kernels see it; an empty view if undefined.
  kernels::View view() const;
  kernels::ConstView const_view() const { return view(); }
  /// In the memory of its device.
  template <class T>
  T* data() const {
    return static_cast<T*>(data_);
  }
  /// All values, in order, as T; any float or integer dtype. For tests and small results.
  template <class T>
  std::vector<T> values() const;

 private:
  /// storage: memory of the device with room for the shape.
  static Tensor over(std::shared_ptr<void> storage, const Shape& shape, Dtype dtype, Device device);

  std::shared_ptr<void> storage_;
  void* data_ = nullptr;
  Shape shape_;
  std::int64_t pitch_ = 0;
  Dtype dtype_ = Dtype::f32;
  Device device_;
};

/// Scratch memory from the pool for the length of a scope.
class Scratch {
 public:
  Scratch(std::size_t bytes, Device device)
      : tensor_(Tensor::empty({static_cast<std::int64_t>(bytes == 0 ? 1 : bytes)}, Dtype::u8, device)) {}
  void* data() const { return tensor_.data<void>(); }

 private:
  Tensor tensor_;
};

}  // namespace unet
