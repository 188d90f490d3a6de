// bfloat16 as it is stored, from and to float.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

[[gnu::always_inline]] inline float widen(bf16 stored) {
  return __builtin_bit_cast(float, std::uint32_t{stored.bits} << 16);
}

/// The nearest, ties to even; a NaN stays one.
[[gnu::always_inline]] inline bf16 narrow(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = value == value ? bits + 0x7fff + ((bits >> 16) & 1) : bits | 0x400000;
  return {static_cast<std::uint16_t>(rounded >> 16)};
}

}  // namespace unet::kernels
