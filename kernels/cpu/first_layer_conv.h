// The first layer of an image network: 3x3 to 7x7, any stride and padding, at most four input channels (RGB), any Cout.
// Few taps are bound by the memory traffic of y and dy, so each is touched once; nothing is transformed. Forward and
// backward weights (nobody needs the gradient of an image). fp32 arithmetic; x, y, dy stored as f32 or bf16 (the plan's
// dtype) and possibly pitched; weights, their gradients and bias as either.
//
// Results do not depend on the number of threads.
#pragma once

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"

namespace unet::kernels::cpu {

/// forward (without a residual) or backward weights, square kernels of 3 to 7, Cin <= 4, not empty; f32 or bf16.
bool first_layer_supports(const ConvCase& c);

/// id "own:first-layer". first_layer_supports(...) must hold; `set` is one that the CPU has.
ConvPlan first_layer_plan(const ConvCase& c, Isa set = isa());

}  // namespace unet::kernels::cpu
