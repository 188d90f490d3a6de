// One Adam step over a flat range (Kingma & Ba 2015, algorithm 1; decoupled decay: Loshchilov & Hutter 2019, algorithm
// 2), with PyTorch's conventions:
//
//   g = grad_scale * gradient           (clipping by norm, or 1; control.grad_scale)
//   L2: g += weight_decay * p           decoupled: p *= 1 - lr * weight_decay
//   m = beta1*m + (1-beta1)*g,  v = beta2*v + (1-beta2)*g*g
//   p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// with lr and t = control.steps, which decide() has counted up. parameters, moments, gradients: [count], all f32 or all
// f64. One pass; padding between parameters holds zeros and stays zero (epsilon > 0). f32 arithmetic in f32.
#pragma once

#include "kernels/step_control.h"
#include "kernels/view.h"

namespace unet::kernels {

struct AdamSpec {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;
};

namespace cpu {

/// Changes nothing unless control.verdict is commit. copy: bf16 [count], the parameters rounded for convolutions that
/// read bf16, or empty; the CPU has no use for one.
void adam(const AdamSpec& spec, const StepControl* control, ConstView gradients, View parameters, View m, View v,
          View copy);

}  // namespace cpu

namespace cuda {

void adam(const AdamSpec& spec, const StepControl* control, ConstView gradients, View parameters, View m, View v,
          View copy);

}  // namespace cuda
}  // namespace unet::kernels
