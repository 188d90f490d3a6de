#include "kernels/cpu/isa/sgd.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void step(const SgdFactors& factors, std::int64_t count, const T* __restrict g, T* __restrict p, T* __restrict b) {
  const T grad_scale = static_cast<T>(factors.grad_scale), momentum = static_cast<T>(factors.momentum);
  const T keep = static_cast<T>(factors.keep);
  const T of_momentum = static_cast<T>(factors.of_momentum), of_gradient = static_cast<T>(factors.of_gradient);
  for (std::int64_t i = 0; i < count; ++i) {
    const T gradient = grad_scale * g[i];
    const T b_new = fma(momentum, b[i], gradient);
    b[i] = b_new;
    p[i] = fma(keep, p[i], -fma(of_momentum, b_new, of_gradient * gradient));
  }
}

}  // namespace

const ByFloat<SgdLoops> sgd_loops{{step<float>}, {step<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
