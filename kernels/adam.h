// One Adam step over a flat range (Kingma & Ba 2015, algorithm 1; decoupled decay: Loshchilov & Hutter 2019, algorithm
// 2), with PyTorch's conventions:
//
//   g = grad_scale * gradient           (clipping by norm, or 1)
//   L2: g += weight_decay * p           decoupled: p *= 1 - lr * weight_decay
//   m = beta1*m + (1-beta1)*g,  v = beta2*v + (1-beta2)*g*g
//   p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// parameters, moments, gradients: [count], all f32 or all f64. One pass; padding between parameters holds zeros and
// stays zero (epsilon > 0). f32 arithmetic in f32.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

struct AdamSpec {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;
};

namespace cpu {

/// step: t >= 1, the number of this step.
void adam(const AdamSpec& spec, std::int64_t step, double grad_scale, ConstView gradients, View parameters, View m,
          View v);

}  // namespace cpu
}  // namespace unet::kernels
