// Convolutions as benchmarks.
#pragma once

#include "engine/core/tensor.h"
#include "kernels/conv_plan.h"

namespace unet {

/// A tensor of numbers in [-1, 1).
Tensor filled(const Shape& shape, Dtype dtype = Dtype::f32);

/// Registers one pass of a convolution: by the automatic choice and by each implementation that can do it.
void add_convolution(const kernels::ConvCase& c);

}  // namespace unet
