// running = (1 - momentum) * running + momentum * batch, over a flat range. f32 or f64.
#pragma once

#include "kernels/step_control.h"
#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

/// Changes nothing unless control.verdict is commit.
void update_running_stats(double momentum, const StepControl* control, ConstView batch, View running);

}  // namespace cpu

namespace cuda {

void update_running_stats(double momentum, const StepControl* control, ConstView batch, View running);

}  // namespace cuda
}  // namespace unet::kernels
