#include "kernels/cpu/isa/adam.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

[[gnu::always_inline]] inline float square_root(float x) { return __builtin_sqrtf(x); }
[[gnu::always_inline]] inline double square_root(double x) { return __builtin_sqrt(x); }

template <class T>
void step(const AdamFactors& factors, std::int64_t count, const T* __restrict g, T* __restrict p, T* __restrict m,
          T* __restrict v) {
  const T grad_scale = static_cast<T>(factors.grad_scale);
  const T decay = static_cast<T>(factors.decay_into_gradient), keep = static_cast<T>(factors.keep);
  const T beta1 = static_cast<T>(factors.beta1), new1 = static_cast<T>(1 - factors.beta1);
  const T beta2 = static_cast<T>(factors.beta2), new2 = static_cast<T>(1 - factors.beta2);
  const T step_size = static_cast<T>(factors.step_size), root_factor = static_cast<T>(factors.root_factor);
  const T epsilon = static_cast<T>(factors.epsilon);
  for (std::int64_t i = 0; i < count; ++i) {
    const T gradient = fma(grad_scale, g[i], decay * p[i]);
    const T m_new = fma(beta1, m[i], new1 * gradient);
    const T v_new = fma(beta2, v[i], new2 * gradient * gradient);
    m[i] = m_new;
    v[i] = v_new;
    p[i] = fma(keep, p[i], -(step_size * m_new / fma(square_root(v_new), root_factor, epsilon)));
  }
}

}  // namespace

const ByFloat<AdamLoops> adam_loops{{step<float>}, {step<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
