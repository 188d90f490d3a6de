// A table of inner loops with one column for every storage type. bf16 joins here.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

template <template <class> class Loops>
struct ByDtype {
  Loops<float> f32;
  Loops<double> f64;

  const Loops<float>& of(float) const { return f32; }
  const Loops<double>& of(double) const { return f64; }
};

}  // namespace unet::kernels::cpu
