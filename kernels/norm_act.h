// Batch normalisation with its neighbours, in as few passes as the mathematics allows:
//
//   z = gamma * (x - mean) * rstd + beta  [+ residual],   rstd = 1 / sqrt(var + epsilon)
//   y = relu ? max(z, 0) : z,     pooled = 2x2 max-pool (stride 2, floor) of y
//
// Ioffe & Szegedy 2015, section 3. Statistics over N,H,W for each channel. Training uses the batch's mean and biased
// variance (two passes over x: statistics, apply); inference uses the running ones (one pass). The running variance is
// the unbiased one, as PyTorch's: running = (1 - momentum) * running + momentum * batch.
// Saved for backward: x, mean, rstd (and the residual, if any). The ReLU mask and the pool's winner (the first maximum
// in scan order, as PyTorch's) are recomputed from z, by the very expression of the forward pass.
//
// Backward, training: with dz = [z > 0 or no relu; NaN counts as open] * (dy + route(dpooled)), g = gamma * rstd, xhat
// = (x - mean) * rstd, M = N*H*W:
//   dbeta = sum dz,  dgamma = sum dz * xhat,  dx = g * (dz - dbeta/M - xhat * dgamma/M),  dresidual = dz
// Two passes over (x, dy): reduce, apply. Inference statistics are constants: dx = g * dz.
//
// NaN propagates through ReLU and pool. M = 1 is allowed: x - mean is 0, the unbiased variance is reported as 0.
// x [N,H,W,C] dense or pitched; y, residual, dy, dresidual [N,H,W,C] may be pitched; pooled, dpooled [N,H/2,W/2,C];
// gamma, beta, mean, rstd, running statistics [C], of x's dtype for f64 and f32 otherwise. x: f64, f32 or bf16.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

struct NormActSpec {
  bool relu = true;
  double epsilon = 1e-5;
  bool training = true;  // batch statistics; false: the running ones, constants for backward
};

namespace cpu {

/// Bytes of scratch for any function below, 64-byte aligned. x [N,H,W,C].
std::size_t norm_act_scratch(ConstView x);

/// Batch statistics of x: mean [C], rstd [C] = 1/sqrt(biased variance + epsilon), unbiased_var [C]
/// (may be empty).
/// Sums are kept so that 10^8 f32 values give mean and variance to a relative error of 1e-6.
void batch_statistics(ConstView x, double epsilon, View mean, View rstd, View unbiased_var, void* scratch);

/// The apply pass. residual may be empty; pooled may be empty; y may be empty if pooled is not.
void norm_act_forward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                      ConstView rstd, ConstView residual, View y, View pooled);

/// Either of dy and dpooled may be empty, not both. Any of dx, dgamma, dbeta, dresidual may be empty: it is not wanted.
/// All are overwritten. dx may be x itself.
void norm_act_backward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                       ConstView rstd, ConstView residual, ConstView dy, ConstView dpooled, View dx, View dgamma,
                       View dbeta, View dresidual, void* scratch);

}  // namespace cpu

namespace cuda {

std::size_t norm_act_scratch(ConstView x);
void batch_statistics(ConstView x, double epsilon, View mean, View rstd, View unbiased_var, void* scratch);
void norm_act_forward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                      ConstView rstd, ConstView residual, View y, View pooled);
void norm_act_backward(const NormActSpec& spec, ConstView x, ConstView gamma, ConstView beta, ConstView mean,
                       ConstView rstd, ConstView residual, ConstView dy, ConstView dpooled, View dx, View dgamma,
                       View dbeta, View dresidual, void* scratch);

}  // namespace cuda
}  // namespace unet::kernels
