#include "kernels/sgd.h"

#include <stdexcept>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/sgd.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void sgd(const SgdSpec& spec, const StepControl* control, const Ranges& gradients, View parameters, View momenta,
         View copy) {
  if (copy) throw std::logic_error("sgd: copies of the parameters are for devices that read them");
  if (gradients.first.size() != 0) throw std::logic_error("sgd: gradients in two parts are for devices with bf16");
  if (control->verdict != StepVerdict::commit) return;
  const double lr = spec.lr_scale * control->lr;
  const SgdFactors factors{
      .grad_scale = control->grad_scale,
      .momentum = spec.momentum,
      .keep = 1 - lr * spec.weight_decay,
      .of_momentum = spec.nesterov ? lr * spec.momentum : lr,
      .of_gradient = spec.nesterov ? lr : 0,
  };
  const Blocks blocks = cut(parameters.size(), 16384);
  dispatch_float(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = select(baseline::sgd_loops, avx2::sgd_loops, avx512::sgd_loops).of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      const std::int64_t begin = blocks.begin(b);
      loops.step(factors, blocks.end(b) - begin, gradients.second.as<T>() + begin, parameters.as<T>() + begin,
                 momenta.as<T>() + begin);
    });
  });
}

}  // namespace unet::kernels::cpu
