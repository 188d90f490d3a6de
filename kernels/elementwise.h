// The plain movements: y = a + b, y += x, y = x (strided to strided), fill. All operands of one dtype and shape
// [N,H,W,C], each with its own pitch; copy also turns f32 into bf16 (to nearest, ties to even; NaN stays NaN) and back.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void add(ConstView a, ConstView b, View y);
void add_to(ConstView x, View y);
void copy(ConstView x, View y);
void fill(View y, double value);

}  // namespace cpu

namespace cuda {

/// Beside f32 a and y, b may be bf16; and so may x beside y of add_to.
void add(ConstView a, ConstView b, View y);
void add_to(ConstView x, View y);
/// x and y may also be one f32 and the other bf16.
void copy(ConstView x, View y);
/// A dense y that is filled with zeros may be of any dtype.
void fill(View y, double value);

}  // namespace cuda
}  // namespace unet::kernels
