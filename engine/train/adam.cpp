#include "engine/train/adam.h"

#include "engine/core/dispatch.h"

namespace unet {

using kernels::AdamClock;

Adam::Adam(Parameters& parameters, const kernels::AdamSpec& spec, Decay decay)
    : Optimizer("adam", parameters, spec.weight_decay, decay, sizeof(AdamClock)), spec_(spec) {
  // No run exceeds these: a step with a larger gradient is dropped. From within, an update stays finite whatever v is.
  constexpr double kMost = kernels::StepControl::kMaxGradNorm;
  add_moment("adam_m", -kMost, kMost);
  add_moment("adam_v", 0, kMost * kMost);
}

kernels::AdamSpec Adam::spec_of(std::size_t group) const {
  kernels::AdamSpec spec = spec_;
  spec.lr_scale = lr_scale(group);
  return spec;
}

void Adam::advance(std::size_t group, const kernels::StepControl* control) {
  dispatch<cpu::adam_clock, cuda::adam_clock>(device(), spec_of(group), control, clock<AdamClock>(group));
}

void Adam::move(const Stretch& stretch, const kernels::StepControl* control, const kernels::Ranges& gradients) {
  kernels::AdamSpec spec = spec_of(stretch.group);
  spec.weight_decay = stretch.weight_decay;
  dispatch<cpu::adam, cuda::adam>(device(), spec, control, clock<AdamClock>(stretch.group), gradients, values(stretch),
                                  moment(0, stretch), moment(1, stretch), copies(stretch));
}

}  // namespace unet
