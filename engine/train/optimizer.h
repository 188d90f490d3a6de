// Adam over the arenas, and the one place where a training step becomes real. Forward and backward change nothing that
// lasts; commit() looks at one finite flag and then applies parameters, moments, running statistics and counters
// together, or none of them.
#pragma once

#include "engine/autograd/parameters.h"
#include "kernels/adam.h"

namespace unet {

struct StepResult {
  bool committed = false;
  double loss = 0;       // mean over the passes of the step
  double grad_norm = 0;  // L2, before clipping
  std::string reason;    // why nothing was committed: what was not finite, and the first parameter it was seen in
};

class Adam {
 public:
  /// spec.lr is the default of commit(). parameters outlives the optimizer.
  Adam(Parameters& parameters, const kernels::AdamSpec& spec);

  /// Ends the step whose passes (forward and backward, one or more) have just run: loss is their mean. clip_norm > 0
  /// scales gradients down to that norm, as torch.nn.utils.clip_grad_norm_ does. Not finite, so not committed: a NaN or
  /// Inf in the loss, a gradient or a batch statistic; a gradient norm above 1e18, whose square the second moment could
  /// not hold; a learning rate above 1e4, which bounds the size of the update.
  StepResult commit(double loss, double lr, double clip_norm = 0);

  /// Number of committed steps.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  /// First and second moments, laid out as parameters.values().
  const Tensor& m() const { return m_; }
  const Tensor& v() const { return v_; }

 private:
  std::string first_bad_gradient() const;

  Parameters& parameters_;
  kernels::AdamSpec spec_;
  Tensor m_, v_;
  std::int64_t steps_ = 0;
};

}  // namespace unet
