#pragma once

#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu {

template <class T>
struct GradNormLoops {
  double (*sum_of_squares)(const T* x, std::int64_t count);
};

namespace baseline {
extern const ByFloat<GradNormLoops> grad_norm_loops;
}
namespace avx2 {
extern const ByFloat<GradNormLoops> grad_norm_loops;
}
namespace avx512 {
extern const ByFloat<GradNormLoops> grad_norm_loops;
}

}  // namespace unet::kernels::cpu
