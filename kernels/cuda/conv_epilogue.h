// What surrounds a convolution of cuDNN where its graph does not hold it.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cuda {

/// y = max(0, y + bias + residual) in place, each part if wanted. y [N,H,W,C] f32 or bf16, dense; bias f32 [C] or
/// empty; residual of y's dtype and shape, may be pitched, or empty.
void conv_epilogue(View y, ConstView bias, ConstView residual, bool relu);

/// rotated[ci, Kh-1-kh, Kw-1-kw, co] = weights[co,kh,kw,ci], of f32 or bf16: the weights of the forward convolution of
/// dy that is the backward data pass at stride 1. weights [Cout,Kh,Kw,Cin], rotated [Cin,Kh,Kw,Cout].
void rotate_weights(ConstView weights, void* rotated);

}  // namespace unet::kernels::cuda
