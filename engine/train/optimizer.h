// Adam over the arenas, and the one place where a training step becomes real. Forward and backward change nothing that
// lasts; commit() decides on the device by one finite flag and then applies parameters, moments, running statistics and
// counters together, or none of them. The host learns the outcome from take_result(); on a device with a queue of its
// own it asks a step later, so that neither waits for the other.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/autograd/parameters.h"
#include "engine/core/device_memory.h"
#include "kernels/adam.h"

namespace unet {

struct StepResult {
  bool committed = false;
  std::vector<double> losses;  // one per pass
  double loss = 0;             // their mean, each with its share
  double grad_norm = 0;        // L2, before clipping
  std::string reason;          // why nothing was committed: what was not finite, and the first parameter it was seen in
};

class Adam {
 public:
  /// parameters outlives the optimizer.
  Adam(Parameters& parameters, const kernels::AdamSpec& spec);

  /// Ends the step whose passes (forward and backward, one or more) have just run. losses: one [1] f64 per pass, on the
  /// parameters' device. clip_norm > 0 scales gradients down to that norm, as torch.nn.utils.clip_grad_norm_ does. What
  /// keeps a step from being committed: kernels/step_control.h. shares: of each pass in the step's loss, their sum 1,
  /// as its gradients were scaled; none given: equal ones.
  void commit(const std::vector<Tensor>& losses, double lr, double clip_norm = 0,
              const std::vector<double>& shares = {});

  /// The result of the oldest step not taken yet, or nothing if no more than `may_wait` are left. Waits for the device
  /// where it must. Statistics count their batches here.
  std::optional<StepResult> take_result(std::size_t may_wait = 0);

  /// Number of committed steps; all results have been taken.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps);
  /// First and second moments, laid out as parameters.values().
  const Tensor& m() const { return m_; }
  const Tensor& v() const { return v_; }

 private:
  /// A step whose outcome has not been looked at: its control block, then its losses.
  struct InFlight {
    std::int64_t passes;
    std::size_t losses;
    ReadBack outcome;
  };
  kernels::StepControl* control() const { return control_.data<kernels::StepControl>(); }
  std::string reason_of(const kernels::StepControl& control) const;

  Parameters& parameters_;
  kernels::AdamSpec spec_;
  Tensor m_, v_;
  Tensor control_;  // kernels::StepControl, as f64 [kControlSize]
  std::deque<InFlight> in_flight_;
  std::int64_t steps_ = 0;
};

}  // namespace unet
