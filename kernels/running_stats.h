// running = (1 - momentum) * running + momentum * batch, over a flat range. f32 or f64.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

void update_running_stats(double momentum, ConstView batch, View running);

}  // namespace unet::kernels::cpu
