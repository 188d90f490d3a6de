#include "engine/train/sgd.h"

#include "engine/core/dispatch.h"
#include "kernels/step_count.h"

namespace unet {

Sgd::Sgd(Parameters& parameters, const kernels::SgdSpec& spec, Decay decay)
    : Optimizer("sgd", parameters, spec.weight_decay, decay, sizeof(std::int64_t)), spec_(spec) {
  if (!(spec.momentum >= 0 && spec.momentum < 1)) {
    throw Error("sgd: momentum {}, expected 0 or more and less than 1", spec.momentum);
  }
  if (spec.nesterov && spec.momentum == 0) throw Error("sgd: Nesterov's form needs a momentum above 0");
  // The sum of all gradients that are not dropped, each at its largest.
  const double most = kernels::StepControl::kMaxGradNorm / (1 - spec.momentum);
  add_moment("sgd_momentum", -most, most);
}

void Sgd::advance(std::size_t group, const kernels::StepControl* control) {
  dispatch<cpu::count_step, cuda::count_step>(device(), control, clock<std::int64_t>(group));
}

void Sgd::move(const Stretch& stretch, const kernels::StepControl* control, const kernels::Ranges& gradients) {
  kernels::SgdSpec spec = spec_;
  spec.lr_scale = lr_scale(stretch.group);
  spec.weight_decay = stretch.weight_decay;
  dispatch<cpu::sgd, cuda::sgd>(device(), spec, control, gradients, values(stretch), moment(0, stretch),
                                copies(stretch));
}

}  // namespace unet
