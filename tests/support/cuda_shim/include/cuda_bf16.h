// The part of CUDA's <cuda_bf16.h> that the kernels use, for the CPU.
#pragma once

#include <bit>
#include <cstdint>

struct __nv_bfloat16 {
  std::uint16_t bits;
};

struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

/// To nearest even; every NaN becomes 0x7fff, as the hardware does it.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return {0x7fff};
  return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}

inline std::uint16_t __bfloat16_as_ushort(__nv_bfloat16 value) { return value.bits; }
