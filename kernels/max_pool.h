// 2x2 max-pool, stride 2; an odd last row or column is dropped, as PyTorch does. The winner is the first maximum in
// scan order ((0,0), (0,1), (1,0), (1,1)); NaN wins (of several, the last). Backward recomputes the winner from x:
// nothing else is saved. x, dx [N,H,W,C]; y, dy [N,H/2,W/2,C]; all may be pitched.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

void max_pool_forward(ConstView x, View y);
/// dx is overwritten, zeros in dropped rows and columns included.
void max_pool_backward(ConstView x, ConstView dy, View dx);

}  // namespace cpu

namespace cuda {

void max_pool_forward(ConstView x, View y);
void max_pool_backward(ConstView x, ConstView dy, View dx);

}  // namespace cuda
}  // namespace unet::kernels
