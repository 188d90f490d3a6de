#include "kernels/adam.h"

#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

struct Factors {
  float grad_scale, decay, keep, beta1, new1, beta2, new2, step_size, root_factor, epsilon;
};

__device__ Factors factors_of(const AdamSpec& spec, const StepControl& control) {
  const double t = static_cast<double>(control.steps);
  Factors out;
  out.grad_scale = static_cast<float>(control.grad_scale);
  out.decay = static_cast<float>(spec.decoupled ? 0 : spec.weight_decay);
  out.keep = static_cast<float>(spec.decoupled ? 1 - control.lr * spec.weight_decay : 1);
  out.beta1 = static_cast<float>(spec.beta1);
  out.new1 = static_cast<float>(1 - spec.beta1);
  out.beta2 = static_cast<float>(spec.beta2);
  out.new2 = static_cast<float>(1 - spec.beta2);
  out.step_size = static_cast<float>(control.lr / (1 - pow(spec.beta1, t)));
  out.root_factor = static_cast<float>(1 / sqrt(1 - pow(spec.beta2, t)));
  out.epsilon = static_cast<float>(spec.epsilon);
  return out;
}

/// copy: null, or bf16.
template <class TG, int N>
__global__ void __launch_bounds__(block_threads)
    adam_kernel(AdamSpec spec, const StepControl* control, std::int64_t size, std::int64_t per_block, const TG* g,
                float* p, float* m, float* v, bf16* copy) {
  __shared__ Factors shared;  // powers in double: once a block
  if (control->verdict != StepVerdict::commit) return;
  if (threadIdx.x == 0) shared = factors_of(spec, *control);
  __syncthreads();
  const Factors f = shared;
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, size);
#pragma unroll 2
  for (std::int64_t i = begin + threadIdx.x * N; i < end; i += block_threads * N) {
    const Chunk<TG, N> gradient = load<N>(g + i);
    const Chunk<float, N> p_old = load<N>(p + i), m_old = load<N>(m + i), v_old = load<N>(v + i);
    float p_new[N], m_new[N], v_new[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float slope = f.grad_scale * gradient[k] + f.decay * p_old[k];
      m_new[k] = f.beta1 * m_old[k] + f.new1 * slope;
      v_new[k] = f.beta2 * v_old[k] + f.new2 * slope * slope;
      p_new[k] = f.keep * p_old[k] - f.step_size * m_new[k] / (sqrtf(v_new[k]) * f.root_factor + f.epsilon);
    }
    store(m + i, m_new);
    store(v + i, v_new);
    store(p + i, p_new);
    if (copy != nullptr) store(copy + i, p_new);
  }
}

}  // namespace

void adam(const AdamSpec& spec, const StepControl* control, ConstView gradients, View parameters, View m, View v,
          View copy) {
  const Cut blocks = cut(parameters.size(), 4096, 16384);
  const Grid grid{static_cast<unsigned>(blocks.count), 1, 1}, block{block_threads, 1, 1};
  dispatch(gradients.dtype, [&]<class TG>(TG) {
    const auto run = [&](auto N) {
      launch(adam_kernel<TG, decltype(N)::value>, grid, block, spec, control, parameters.size(), blocks.per_block,
             gradients.as<TG>(), parameters.as<float>(), m.as<float>(), v.as<float>(), copy.as<bf16>());
    };
    with_chunks<4>(run, gradients, parameters, m, v, copy);
  });
}

}  // namespace unet::kernels::cuda
