#include "kernels/adam.h"

#include <cmath>
#include <stdexcept>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/adam.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void adam(const AdamSpec& spec, const StepControl* control, ConstView gradients, View parameters, View m, View v,
          View copy) {
  if (copy) throw std::logic_error("adam: copies of the parameters are for devices that read them");
  if (control->verdict != StepVerdict::commit) return;
  const double t = static_cast<double>(control->steps);
  const AdamFactors factors{
      .grad_scale = control->grad_scale,
      .decay_into_gradient = spec.decoupled ? 0 : spec.weight_decay,
      .keep = spec.decoupled ? 1 - control->lr * spec.weight_decay : 1,
      .beta1 = spec.beta1,
      .beta2 = spec.beta2,
      .step_size = control->lr / (1 - std::pow(spec.beta1, t)),
      .root_factor = 1 / std::sqrt(1 - std::pow(spec.beta2, t)),
      .epsilon = spec.epsilon,
  };
  const Blocks blocks = cut(parameters.size(), 16384);
  dispatch_float(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = select(baseline::adam_loops, avx2::adam_loops, avx512::adam_loops).of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      const std::int64_t begin = blocks.begin(b);
      loops.step(factors, blocks.end(b) - begin, gradients.as<T>() + begin, parameters.as<T>() + begin,
                 m.as<T>() + begin, v.as<T>() + begin);
    });
  });
}

}  // namespace unet::kernels::cpu
