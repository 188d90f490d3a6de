#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

/// What one step multiplies by; everything that does not depend on the element.
struct SgdFactors {
  double grad_scale;
  double momentum;
  double keep;         // decay: p *= this
  double of_momentum;  // p -= this * b, the new one
  double of_gradient;  // Nesterov: p -= this * g
};

template <class T>
struct SgdLoops {
  void (*step)(const SgdFactors& factors, std::int64_t count, const T* g, T* p, T* b);
};

namespace baseline {
extern const ByFloat<SgdLoops> sgd_loops;
}
namespace avx2 {
extern const ByFloat<SgdLoops> sgd_loops;
}
namespace avx512 {
extern const ByFloat<SgdLoops> sgd_loops;
}

}  // namespace unet::kernels::cpu
