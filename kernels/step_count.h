// Committed steps, counted in memory of the device.
#pragma once

#include "kernels/step_control.h"

namespace unet::kernels {
namespace cpu {

/// One more if control.verdict is commit.
void count_step(const StepControl* control, std::int64_t* steps);

}  // namespace cpu

namespace cuda {

void count_step(const StepControl* control, std::int64_t* steps);

}  // namespace cuda
}  // namespace unet::kernels
