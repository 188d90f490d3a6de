#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// What one step multiplies by; everything that does not depend on the element.
struct AdamFactors {
  double grad_scale;
  double decay_into_gradient;  // L2: g += this * p
  double keep;                 // decoupled: p *= this
  double beta1, beta2;
  double step_size;    // lr / (1 - beta1^t)
  double root_factor;  // 1 / sqrt(1 - beta2^t)
  double epsilon;
};

template <class T>
struct AdamLoops {
  void (*step)(const AdamFactors& factors, std::int64_t count, const T* g, T* p, T* m, T* v);
};

namespace baseline {
extern const ByFloat<AdamLoops> adam_loops;
}
namespace avx2 {
extern const ByFloat<AdamLoops> adam_loops;
}
namespace avx512 {
extern const ByFloat<AdamLoops> adam_loops;
}

}  // namespace unet::kernels::cpu
