// out[c] = sum over N,H,W of x[n,h,w,c]: the gradient of a bias. x f32, f64 or bf16, may be pitched;
// out [C] f64 where x is, else f32.
// Pixels are cut into blocks by the shape alone; a block's sum is kept in f64 and the blocks are added in order, so the
// result does not depend on the number of threads and 10^8 values keep a relative error below 1e-6.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {
namespace cpu {

/// scratch: channel_sum_scratch(x) bytes, 64-byte aligned.
void channel_sum(ConstView x, View out, void* scratch);
std::size_t channel_sum_scratch(ConstView x);

}  // namespace cpu

namespace cuda {

/// out f32. Within a block the sums are f32 (some hundred pixels a thread); the blocks are added in f64.
void channel_sum(ConstView x, View out, void* scratch);
std::size_t channel_sum_scratch(ConstView x);

}  // namespace cuda
}  // namespace unet::kernels
