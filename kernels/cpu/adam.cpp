#include "kernels/adam.h"

#include <stdexcept>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/adam.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void adam(const AdamSpec& spec, const StepControl* control, const Ranges& gradients, View parameters, View m, View v,
          View copy) {
  if (copy) throw std::logic_error("adam: copies of the parameters are for devices that read them");
  if (gradients.first.size() != 0) throw std::logic_error("adam: gradients in two parts are for devices with bf16");
  if (control->verdict != StepVerdict::commit) return;
  const AdamFactors factors{
      .grad_scale = control->grad_scale,
      .decay_into_gradient = spec.decoupled ? 0 : spec.weight_decay,
      .keep = spec.decoupled ? 1 - control->lr * spec.weight_decay : 1,
      .beta1 = spec.beta1,
      .beta2 = spec.beta2,
      .step_size = control->step_size,
      .root_factor = control->root_factor,
      .epsilon = spec.epsilon,
  };
  const Blocks blocks = cut(parameters.size(), 16384);
  dispatch_float(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = select(baseline::adam_loops, avx2::adam_loops, avx512::adam_loops).of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      const std::int64_t begin = blocks.begin(b);
      loops.step(factors, blocks.end(b) - begin, gradients.second.as<T>() + begin, parameters.as<T>() + begin,
                 m.as<T>() + begin, v.as<T>() + begin);
    });
  });
}

}  // namespace unet::kernels::cpu
