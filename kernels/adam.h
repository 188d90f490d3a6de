// One Adam step over a flat range (Kingma & Ba 2015, algorithm 1; decoupled decay: Loshchilov & Hutter 2019, algorithm
// 2), with PyTorch's conventions:
//
//   g = grad_scale * gradient           (clipping by norm, or 1; control.grad_scale)
//   L2: g += weight_decay * p           decoupled: p *= 1 - lr * weight_decay
//   m = beta1*m + (1-beta1)*g,  v = beta2*v + (1-beta2)*g*g
//   p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// with lr = lr_scale * control.lr and t the committed steps of the range's group, as PyTorch counts them a parameter;
// what depends on lr and t alone is in the group's clock. parameters, moments, gradients: [count], all f32 or all f64.
// One pass; padding between parameters holds zeros and stays zero (epsilon > 0). f32 arithmetic in f32.
#pragma once

#include "kernels/ranges.h"
#include "kernels/step_control.h"
#include "kernels/view.h"

namespace unet::kernels {

struct AdamSpec {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;
  double lr_scale = 1;
};

/// How far a group of parameters is; in memory of the device.
struct AdamClock {
  std::int64_t steps = 0;  // committed
  double step_size = 0;    // lr_scale * lr / (1 - beta1^steps)
  double root_factor = 1;  // 1 / sqrt(1 - beta2^steps)
};

namespace cpu {

/// The clock goes on by the step under way; it stays unless control.verdict is commit.
void adam_clock(const AdamSpec& spec, const StepControl* control, AdamClock* clock);
/// Changes nothing unless control.verdict is commit. clock: gone on before. gradients: one part. copy: empty.
void adam(const AdamSpec& spec, const StepControl* control, const AdamClock* clock, const Ranges& gradients,
          View parameters, View m, View v, View copy);

}  // namespace cpu

namespace cuda {

void adam_clock(const AdamSpec& spec, const StepControl* control, AdamClock* clock);
/// Each part of the gradients f32 or bf16. copy: the first copy.size() parameters, up to the end of a part, rounded to
/// bf16 for convolutions that read that; or empty.
void adam(const AdamSpec& spec, const StepControl* control, const AdamClock* clock, const Ranges& gradients,
          View parameters, View m, View v, View copy);

}  // namespace cuda
}  // namespace unet::kernels
