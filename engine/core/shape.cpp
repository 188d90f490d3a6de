#include "engine/core/shape.h"

#include "engine/core/error.h"

namespace unet {

Shape::Shape(std::initializer_list<std::int64_t> sizes) {
  if (sizes.size() < 1 || sizes.size() > 4) throw Error("a shape has 1 to 4 sizes, got {}", sizes.size());
  std::int64_t product = 1;
  for (const std::int64_t size : sizes) {
    sizes_[static_cast<std::size_t>(rank_++)] = size;
    if (size < 0) throw Error("a shape has no negative sizes, got {}", str());
    if (__builtin_mul_overflow(product, size, &product)) throw Error("shape {} has too many elements", str());
  }
}

std::int64_t Shape::size() const {
  if (rank_ == 0) return 0;
  std::int64_t product = 1;
  for (int i = 0; i < rank_; ++i) product *= (*this)[i];
  return product;
}

std::array<std::int64_t, 4> Shape::dims() const {
  std::array<std::int64_t, 4> out{1, 1, 1, 1};
  for (int i = 0; i < rank_; ++i) out[static_cast<std::size_t>(4 - rank_ + i)] = (*this)[i];
  return out;
}

std::string Shape::str() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) out += fmt::format("{}{}", i > 0 ? "," : "", (*this)[i]);
  return out + "]";
}

}  // namespace unet
