#include "kernels/sgd.h"

#include "kernels/cuda/parts.h"

namespace unet::kernels::cuda {
namespace {

struct Factors {
  float grad_scale, momentum, keep, of_momentum, of_gradient;
};

__device__ Factors factors_of(const SgdSpec& spec, const StepControl& control) {
  const double lr = spec.lr_scale * control.lr;
  Factors out;
  out.grad_scale = static_cast<float>(control.grad_scale);
  out.momentum = static_cast<float>(spec.momentum);
  out.keep = static_cast<float>(1 - lr * spec.weight_decay);
  out.of_momentum = static_cast<float>(spec.nesterov ? lr * spec.momentum : lr);
  out.of_gradient = static_cast<float>(spec.nesterov ? lr : 0);
  return out;
}

/// copy: null, or bf16, of the elements before `copied`, where a part ends.
template <int N>
__global__ void __launch_bounds__(kBlockThreads) sgd_kernel(SgdSpec spec, const StepControl* control, Parts gradients,
                                                            float* p, float* b, bf16* copy, std::int64_t copied) {
  if (control->verdict != StepVerdict::commit) return;
  const Factors f = factors_of(spec, *control);
  with_part(gradients, blockIdx.x, [&]<class T>(const T* g, std::int64_t begin, std::int64_t end, std::int64_t offset) {
    const bool copies = offset + begin < copied;
#pragma unroll 2
    for (std::int64_t i = begin + threadIdx.x * N; i < end; i += kBlockThreads * N) {
      const std::int64_t at = offset + i;
      const Chunk<T, N> gradient = load<N>(g + i);
      const Chunk<float, N> p_old = load<N>(p + at), b_old = load<N>(b + at);
      float p_new[N], b_new[N];
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float slope = f.grad_scale * gradient[k];
        b_new[k] = f.momentum * b_old[k] + slope;
        p_new[k] = f.keep * p_old[k] - (f.of_momentum * b_new[k] + f.of_gradient * slope);
      }
      store(b + at, b_new);
      store(p + at, p_new);
      if (copies) store(copy + at, p_new);
    }
  });
}

}  // namespace

void sgd(const SgdSpec& spec, const StepControl* control, const Ranges& gradients, View parameters, View momenta,
         View copy) {
  const Parts parts = parts_of(gradients, 4096, 16384);
  with_chunks<4>(
      [&](auto N) {
        launch(sgd_kernel<decltype(N)::value>, Grid{parts.blocks(), 1, 1}, Grid{kBlockThreads, 1, 1}, spec, control,
               parts, parameters.as<float>(), momenta.as<float>(), copy.as<bf16>(), copy.size());
      },
      gradients.first, gradients.second, parameters, momenta, copy);
}

}  // namespace unet::kernels::cuda
