#include "kernels/adam.h"

#include "kernels/cuda/parts.h"

namespace unet::kernels::cuda {
namespace {

struct Factors {
  float grad_scale, decay, keep, beta1, new1, beta2, new2, step_size, root_factor, epsilon;
};

__device__ Factors factors_of(const AdamSpec& spec, const StepControl& control, const AdamClock& clock) {
  Factors out;
  out.grad_scale = static_cast<float>(control.grad_scale);
  out.decay = static_cast<float>(spec.decoupled ? 0 : spec.weight_decay);
  out.keep = static_cast<float>(spec.decoupled ? 1 - spec.lr_scale * control.lr * spec.weight_decay : 1);
  out.beta1 = static_cast<float>(spec.beta1);
  out.new1 = static_cast<float>(1 - spec.beta1);
  out.beta2 = static_cast<float>(spec.beta2);
  out.new2 = static_cast<float>(1 - spec.beta2);
  out.step_size = static_cast<float>(clock.step_size);
  out.root_factor = static_cast<float>(clock.root_factor);
  out.epsilon = static_cast<float>(spec.epsilon);
  return out;
}

__global__ void adam_clock_kernel(AdamSpec spec, const StepControl* control, AdamClock* clock) {
  if (control->verdict != StepVerdict::commit) return;
  const auto t = static_cast<double>(++clock->steps);
  clock->step_size = spec.lr_scale * control->lr / (1 - pow(spec.beta1, t));
  clock->root_factor = 1 / sqrt(1 - pow(spec.beta2, t));
}

/// copy: null, or bf16, of the elements before `copied`, where a part ends.
template <int N>
__global__ void __launch_bounds__(kBlockThreads)
    adam_kernel(AdamSpec spec, const StepControl* control, const AdamClock* clock, Parts gradients, float* p, float* m,
                float* v, bf16* copy, std::int64_t copied) {
  if (control->verdict != StepVerdict::commit) return;
  const Factors f = factors_of(spec, *control, *clock);
  with_part(gradients, blockIdx.x, [&]<class T>(const T* g, std::int64_t begin, std::int64_t end, std::int64_t offset) {
    const bool copies = offset + begin < copied;
#pragma unroll 2
    for (std::int64_t i = begin + threadIdx.x * N; i < end; i += kBlockThreads * N) {
      const std::int64_t at = offset + i;
      const Chunk<T, N> gradient = load<N>(g + i);
      const Chunk<float, N> p_old = load<N>(p + at), m_old = load<N>(m + at), v_old = load<N>(v + at);
      float p_new[N], m_new[N], v_new[N];
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float slope = f.grad_scale * gradient[k] + f.decay * p_old[k];
        m_new[k] = f.beta1 * m_old[k] + f.new1 * slope;
        v_new[k] = f.beta2 * v_old[k] + f.new2 * slope * slope;
        p_new[k] = f.keep * p_old[k] - f.step_size * m_new[k] / (sqrtf(v_new[k]) * f.root_factor + f.epsilon);
      }
      store(m + at, m_new);
      store(v + at, v_new);
      store(p + at, p_new);
      if (copies) store(copy + at, p_new);
    }
  });
}

}  // namespace

void adam_clock(const AdamSpec& spec, const StepControl* control, AdamClock* clock) {
  launch(adam_clock_kernel, Grid{}, Grid{}, spec, control, clock);
}

void adam(const AdamSpec& spec, const StepControl* control, const AdamClock* clock, const Ranges& gradients,
          View parameters, View m, View v, View copy) {
  const Parts parts = parts_of(gradients, 4096, 16384);
  with_chunks<4>(
      [&](auto N) {
        launch(adam_kernel<decltype(N)::value>, Grid{parts.blocks(), 1, 1}, Grid{kBlockThreads, 1, 1}, spec, control,
               clock, parts, parameters.as<float>(), m.as<float>(), v.as<float>(), copy.as<bf16>(), copy.size());
      },
      gradients.first, gradients.second, parameters, m, v, copy);
}

}  // namespace unet::kernels::cuda
