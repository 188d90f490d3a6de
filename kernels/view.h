// What kernels work on: a typed pointer with four extents and a channel pitch. No ownership, no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace unet::kernels {

enum class Dtype : std::uint8_t { f64, f32, bf16, u8, i32 };

/// bfloat16 as stored: the upper half of an IEEE binary32.
struct bf16 {
  std::uint16_t bits;
};

/// Bytes of one element.
std::size_t size_of(Dtype dtype);
/// "f64", "f32", "bf16", "u8" or "i32".
const char* name_of(Dtype dtype);

/// Extents shared by View and ConstView. Activations are [N,H,W,C]; convolution weights [Cout,Kh,Kw,Cin] stand in the
/// same four places; a vector [C] is [1,1,1,C]. Element (n,h,w,c) lies at ((n*H + h)*W + w)*pitch + c: dense in N,H,W,
/// and pitch >= C, larger where the view is a channel slice of a wider tensor.
struct Extent {
  Dtype dtype = Dtype::f32;
  std::array<std::int64_t, 4> dims{0, 0, 0, 0};
  std::int64_t pitch = 0;

  std::int64_t n() const { return dims[0]; }
  std::int64_t h() const { return dims[1]; }
  std::int64_t w() const { return dims[2]; }
  std::int64_t c() const { return dims[3]; }
  std::int64_t pixels() const { return dims[0] * dims[1] * dims[2]; }
  std::int64_t size() const { return pixels() * dims[3]; }
  bool dense() const { return pitch == dims[3]; }
};

struct View : Extent {
  void* data = nullptr;

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

struct ConstView : Extent {
  const void* data = nullptr;

  ConstView() = default;
  ConstView(const View& view) : Extent(view), data(view.data) {}

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

}  // namespace unet::kernels
