// Storage types of activations, the type each is computed in, and tables of inner loops with a column for each.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

template <class T>
struct Storage {
  using Compute = T;
};
template <>
struct Storage<bf16> {
  using Compute = float;
};
template <class T>
using Compute = typename Storage<T>::Compute;

template <template <class> class Loops>
struct ByStorage {
  Loops<float> f32;
  Loops<double> f64;
  Loops<bf16> b16;

  const Loops<float>& of(float) const { return f32; }
  const Loops<double>& of(double) const { return f64; }
  const Loops<bf16>& of(bf16) const { return b16; }
};

}  // namespace unet::kernels::cpu
