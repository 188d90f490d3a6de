// An exponential moving average of a flat range that steps change:
//
//   average = values                                           behind the first committed step
//   average = average + (1 - decay) * (values - average)       behind each later one
//
// which is torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay). values, average: [count], both f32 or
// both f64. What does not change is its own average, bit for bit.
#pragma once

#include "kernels/step_control.h"
#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

/// Changes nothing unless control.verdict is commit. steps: committed ones, the one under way included.
void update_average(double decay, const StepControl* control, const std::int64_t* steps, ConstView values,
                    View average);

}  // namespace cpu

namespace cuda {

void update_average(double decay, const StepControl* control, const std::int64_t* steps, ConstView values,
                    View average);

}  // namespace cuda
}  // namespace unet::kernels
