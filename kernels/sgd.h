// One step of SGD with momentum over a flat range, with the conventions of torch.optim.SGD (no dampening) and a
// decoupled decay like AdamW's (Loshchilov & Hutter 2019, algorithm 1, where ours is lr * weight_decay):
//
//   g = grad_scale * gradient                    (clipping by norm, or 1; control.grad_scale)
//   b = momentum * b + g
//   p = (1 - lr * weight_decay) * p - lr * b     Nesterov: - lr * (g + momentum * b)
//
// with lr = lr_scale * control.lr, and b 0 before the first step. torch.optim.SGD's own weight_decay is another thing:
// it is added to g, and so goes through the momentum. parameters, momenta, gradients: [count], all f32 or all f64. One
// pass; padding between parameters holds zeros and stays zero. f32 arithmetic in f32.
#pragma once

#include "kernels/ranges.h"
#include "kernels/step_control.h"
#include "kernels/view.h"

namespace unet::kernels {

struct SgdSpec {
  double momentum = 0.9;  // in [0, 1)
  bool nesterov = false;
  double weight_decay = 0;
  double lr_scale = 1;
};

namespace cpu {

/// Changes nothing unless control.verdict is commit. momenta: b. gradients: one part. copy: empty.
void sgd(const SgdSpec& spec, const StepControl* control, const Ranges& gradients, View parameters, View momenta,
         View copy);

}  // namespace cpu

namespace cuda {

/// Each part of the gradients f32 or bf16. copy: the first copy.size() parameters, up to the end of a part, rounded to
/// bf16 for convolutions that read that; or empty.
void sgd(const SgdSpec& spec, const StepControl* control, const Ranges& gradients, View parameters, View momenta,
         View copy);

}  // namespace cuda
}  // namespace unet::kernels
