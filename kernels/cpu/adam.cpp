#include "kernels/adam.h"

#include <cmath>
#include <stdexcept>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/adam.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void adam_clock(const AdamSpec& spec, const StepControl* control, AdamClock* clock) {
  if (control->verdict != StepVerdict::commit) return;
  const auto t = static_cast<double>(++clock->steps);
  clock->step_size = spec.lr_scale * control->lr / (1 - std::pow(spec.beta1, t));
  clock->root_factor = 1 / std::sqrt(1 - std::pow(spec.beta2, t));
}

void adam(const AdamSpec& spec, const StepControl* control, const AdamClock* clock, const Ranges& gradients,
          View parameters, View m, View v, View copy) {
  if (copy) throw std::logic_error("adam: copies of the parameters are for devices that read them");
  if (gradients.first.size() != 0) throw std::logic_error("adam: gradients in two parts are for devices with bf16");
  if (control->verdict != StepVerdict::commit) return;
  const AdamFactors factors{
      .grad_scale = control->grad_scale,
      .decay_into_gradient = spec.decoupled ? 0 : spec.weight_decay,
      .keep = spec.decoupled ? 1 - spec.lr_scale * control->lr * spec.weight_decay : 1,
      .beta1 = spec.beta1,
      .beta2 = spec.beta2,
      .step_size = clock->step_size,
      .root_factor = clock->root_factor,
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
