// A step computes, then commits: what decides about the commit and what feeds it, in memory of the device, so that no
// value travels to the host in between. Forward and backward leave losses, gradients and batch statistics; decide()
// looks at them once; Adam and the running statistics follow its verdict.
#pragma once

#include "kernels/grad_norm.h"

namespace unet::kernels {

/// Why a step is not committed; the first that applies.
enum class StepVerdict : std::int64_t {
  commit,
  bad_loss,       // NaN or Inf
  bad_lr,         // not in [0, max_lr], which bounds the size of the update
  bad_gradient,   // NaN or Inf, or a norm above max_grad_norm, whose square the second moment could not hold
  bad_statistics  // NaN or Inf in the statistics of a batch norm
};

struct StepControl {
  static constexpr double max_lr = 1e4;
  static constexpr double max_grad_norm = 1e18;

  double lr = 0;
  double clip_norm = 0;                   // 0: gradients are not clipped
  double loss = 0;                        // mean over the passes so far
  std::int64_t steps = 0;                 // committed, this one included once decide() says so
  double grad_norm = 0;                   // L2, before clipping
  double grad_scale = 1;                  // clip_grad_norm_: min(1, clip_norm / (grad_norm + 1e-6))
  double step_size = 0;                   // lr / (1 - beta1^steps), of a step that is committed
  double root_factor = 1;                 // 1 / sqrt(1 - beta2^steps), likewise
  std::int64_t first_bad_gradient = -1;   // the first element that is NaN or Inf; -1: none
  std::int64_t first_bad_statistic = -1;  // likewise, of the first pass that has one
  StepVerdict verdict = StepVerdict::commit;
};

namespace cpu {

/// A step begins: lr and clip_norm are set, the loss is 0; `steps` stays.
void begin_step(StepControl* control, double lr, double clip_norm);
/// The loss of a pass counts with its share.
void add_loss(StepControl* control, const double* loss, double share);
/// gradients: of the whole arena; statistics: of a pass, those of the other passes behind them; beta1, beta2: the
/// moments' decay.
void decide(StepControl* control, double beta1, double beta2, SquareSums gradients, SquareSums statistics,
            std::int64_t passes);

}  // namespace cpu

namespace cuda {

void begin_step(StepControl* control, double lr, double clip_norm);
void add_loss(StepControl* control, const double* loss, double share);
void decide(StepControl* control, double beta1, double beta2, SquareSums gradients, SquareSums statistics,
            std::int64_t passes);

}  // namespace cuda
}  // namespace unet::kernels
