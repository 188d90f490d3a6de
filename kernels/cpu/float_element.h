// Single elements of a vector or a weight that is stored as f32 or bf16, as f32.
#pragma once

#include "kernels/bf16.h"

namespace unet::kernels::cpu {

inline float float_at(const ConstView& view, std::int64_t i) {
  return view.dtype == Dtype::bf16 ? widen(view.as<bf16>()[i]) : view.as<float>()[i];
}

inline void set_float(const View& view, std::int64_t i, float value) {
  if (view.dtype == Dtype::f32) {
    view.as<float>()[i] = value;
  } else {
    view.as<bf16>()[i] = narrow(value);
  }
}

}  // namespace unet::kernels::cpu
