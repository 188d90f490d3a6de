// Winograd convolutions, F(6x6,3x3), F(4x4,3x3) and F(2x2,3x3): 3x3 kernels, stride 1, padding 1, all three passes,
// with 5.06, 4 and 2.25 times fewer multiplications than the direct method. Arithmetic in fp32; activations stored as
// f32 or bf16 (the plan's dtype), weights and their gradients as either (the dtype of the operand), bias f32 or bf16.
// Any channel count, any image size. x, y, dy, dx and the residual may be pitched.
//
// Error against exact arithmetic on the same stored numbers (NMSE, normal data, f32): F(6x6) 7e-12 to 5e-11 (32 to 512
// input channels), backward weights up to 1e-10; F(4x4) 4e-13 to 1e-11, about ten times that of the direct method;
// F(2x2) below the direct method's. A NaN or Inf spreads over its tile.
//
// Results do not depend on the number of threads. A plan runs on the threads there were when it was made, or fewer.
#pragma once

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"

namespace unet::kernels::cpu {

enum class WinogradTile { f2x2, f4x4, f6x6 };

/// 3x3, stride 1, padding 1, not empty; f32 or bf16.
bool winograd_supports(const ConvCase& c);

/// id "winograd:f2x2", "winograd:f4x4" or "winograd:f6x6". winograd_supports(...) must hold; `set` is one that the CPU
/// has.
ConvPlan winograd_plan(const ConvCase& c, WinogradTile tile, Isa set = isa());

}  // namespace unet::kernels::cpu
