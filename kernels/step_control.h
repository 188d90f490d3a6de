// A step computes, then commits: what decides about the commit and what feeds it, in memory of the device, so that no
// value travels to the host in between. Forward and backward leave losses, gradients and batch statistics; decide()
// looks at them once; the rule, the running statistics and whatever else lasts follow its verdict.
#pragma once

#include "kernels/grad_norm.h"

namespace unet::kernels {

/// Why a step is not committed; the first that applies.
enum class StepVerdict : std::int64_t {
  commit,
  bad_loss,       // NaN or Inf
  bad_lr,         // not in [0, kMaxLr], which bounds the size of the update
  bad_gradient,   // NaN or Inf, or a norm above kMaxGradNorm, whose square the second moment could not hold
  bad_statistics  // NaN or Inf in the statistics of a batch norm
};

struct StepControl {
  static constexpr double kMaxLr = 1e4;
  static constexpr double kMaxGradNorm = 1e18;

  double lr = 0;
  double loss = 0;                        // the passes' losses, each with its share
  double grad_norm = 0;                   // L2, before clipping
  double grad_scale = 1;                  // clip_grad_norm_: min(1, clip_norm / (grad_norm + 1e-6))
  std::int64_t first_bad_gradient = -1;   // the first element that is NaN or Inf; -1: none
  std::int64_t first_bad_statistic = -1;  // likewise, of the first pass that has one
  StepVerdict verdict = StepVerdict::commit;
};

/// What a step is given and what its passes leave; all of it in memory of the device.
struct StepInputs {
  const double* lr = nullptr;
  const double* clip_norm = nullptr;  // 0: gradients are not clipped
  const double* shares = nullptr;     // [passes]: of each in the step's loss
  const double* losses = nullptr;     // [passes]
  std::int64_t passes = 0;
};

namespace cpu {

/// Fills all of `control`. gradients: of the whole arena; statistics: of the first of `ranges` ranges of batch
/// statistics, those of the others behind them.
void decide(StepControl* control, const StepInputs& inputs, SquareSums gradients, SquareSums statistics,
            std::int64_t ranges);

}  // namespace cpu

namespace cuda {

void decide(StepControl* control, const StepInputs& inputs, SquareSums gradients, SquareSums statistics,
            std::int64_t ranges);

}  // namespace cuda
}  // namespace unet::kernels
