// Extents of a tensor: one to four positive-or-zero sizes. Activations are [N,H,W,C], weights [Cout,Kh,Kw,Cin], vectors
// [C], scalars [1].
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace unet {

class Shape {
 public:
  Shape() = default;
  /// Throws Error unless there are 1 to 4 sizes, none negative, whose product fits in 63 bits.
  Shape(std::initializer_list<std::int64_t> sizes);

  int rank() const { return rank_; }
  std::int64_t operator[](int i) const { return sizes_[static_cast<std::size_t>(i)]; }
  /// The last size: channels of an activation.
  std::int64_t channels() const { return rank_ == 0 ? 0 : sizes_[static_cast<std::size_t>(rank_ - 1)]; }
  /// Number of elements; 0 for the empty shape.
  std::int64_t size() const;
  /// The four places of a kernel view: leading places are 1.
  std::array<std::int64_t, 4> dims() const;
  /// "[8,96,96,3]"
  std::string str() const;

  bool operator==(const Shape&) const = default;

 private:
  std::array<std::int64_t, 4> sizes_{0, 0, 0, 0};
  int rank_ = 0;
};

}  // namespace unet
