// The plain movements: y = a + b, y += x, y = x (strided to strided), fill. All operands of one dtype and shape
// [N,H,W,C], each with its own pitch.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

void add(ConstView a, ConstView b, View y);
void add_to(ConstView x, View y);
void copy(ConstView x, View y);
void fill(View y, double value);

}  // namespace unet::kernels::cpu
