#include "kernels/step_count.h"

namespace unet::kernels::cpu {

void count_step(const StepControl* control, std::int64_t* steps) {
  if (control->verdict == StepVerdict::commit) ++*steps;
}

}  // namespace unet::kernels::cpu
