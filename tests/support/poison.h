// What memory holds that nobody has written, and the guards round what may be written: in buffers, below the pool, in
// the stand-in for a device. Every float type reads it as a NaN.
#pragma once

#include <algorithm>
#include <cstddef>

namespace unet::tests {

inline constexpr unsigned char kPoison = 0xff;

inline bool all_poison(const void* begin, std::size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(begin);
  return std::all_of(at, at + bytes, [](unsigned char byte) { return byte == kPoison; });
}

}  // namespace unet::tests
