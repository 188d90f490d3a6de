// Single elements of a vector or a weight that is stored as f32 or bf16, as f32.
#pragma once

#include <bit>

#include "kernels/view.h"

namespace unet::kernels::cpu {

inline float float_at(const ConstView& view, std::int64_t i) {
  if (view.dtype == Dtype::bf16) return std::bit_cast<float>(static_cast<std::uint32_t>(view.as<bf16>()[i].bits) << 16);
  return view.as<float>()[i];
}

/// To nearest, ties to even; a NaN stays one.
inline bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = value == value ? bits + 0x7fff + ((bits >> 16) & 1) : bits | 0x400000;
  return {static_cast<std::uint16_t>(rounded >> 16)};
}

inline void set_float(const View& view, std::int64_t i, float value) {
  if (view.dtype == Dtype::f32) {
    view.as<float>()[i] = value;
  } else {
    view.as<bf16>()[i] = to_bf16(value);
  }
}

}  // namespace unet::kernels::cpu
