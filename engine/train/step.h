// The one place where a training step becomes real. Forward and backward change nothing that lasts; commit() decides on
// the device by one finite flag and then applies parameters, moments, running statistics and counters together, or none
// of them. The host learns the outcome from take_result(); on a device with a queue of its own it asks a step later, so
// that neither waits for the other.
//
//   step.begin({.lr = 1e-3, .images = {8, 8, 4}});
//   for each pass: Tape tape; ...; step.backward(tape, loss);
//   step.commit();
//
// What changes from step to step lies in one block of device memory, written by begin(): the device's work in between
// is the same each time.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/autograd/tape.h"
#include "engine/core/device_memory.h"
#include "engine/train/optimizer.h"

namespace unet {

struct StepSettings {
  double lr = 0;
  double clip_norm = 0;                    // > 0: gradients are scaled down to that norm, as clip_grad_norm_ does
  std::vector<std::int64_t> images = {1};  // of each pass: its share of the step's loss is that of its images
};

struct StepResult {
  StepSettings settings;  // as begin() was given them
  bool committed = false;
  std::vector<double> losses;  // one per pass
  double loss = 0;             // their mean, each with its share
  double grad_norm = 0;        // L2, before clipping
  std::string reason;          // why nothing was committed: what was not finite, and the first parameter it was seen in
};

class Step {
 public:
  /// Both outlive the step.
  Step(Parameters& parameters, Optimizer& rule);

  /// A step begins; one that never came to its commit is given up. Throws Error if a pass, or the step, has no images.
  void begin(StepSettings settings);
  /// Once a pass, behind its forward: runs the tape backward with the pass's share of the loss, [1] f64 on the
  /// parameters' device. Throws Error as Tape::backward does, or if no pass is left.
  void backward(Tape& tape, const Var& loss);
  /// Ends the step. What keeps it from being committed: kernels/step_control.h. Throws Error if passes are missing.
  void commit();

  /// The result of the oldest step not taken yet, or nothing if no more than `may_wait` are left. Waits for the device
  /// where it must. Statistics count their batches here.
  std::optional<StepResult> take_result(std::size_t may_wait = 0);

  /// Called in every commit behind the rule and the statistics, to do what follows the verdict too, in the device's
  /// order: an average of the weights. control: in memory of the device.
  using Follower = std::function<void(const kernels::StepControl* control)>;
  void after_update(Follower follower) { followers_.push_back(std::move(follower)); }

 private:
  /// A step whose outcome has not been looked at: its control block, then its losses.
  struct InFlight {
    StepSettings settings;
    std::vector<std::int64_t> uses;  // of each batch norm
    ReadBack outcome;
  };
  kernels::StepControl* control() const { return control_.data<kernels::StepControl>(); }
  double* shares() const { return inputs_.data<double>() + 2; }
  double* losses() const { return shares() + room_; }
  void fold_statistics();
  std::string reason_of(const kernels::StepControl& control) const;

  Parameters& parameters_;
  Optimizer& rule_;
  std::vector<Follower> followers_;
  std::optional<StepSettings> under_way_;
  std::int64_t passes_ = 0;  // of it, that have run
  Tensor inputs_;            // f64: lr, clip_norm, shares [room_], losses [room_]
  std::int64_t room_ = 0;    // passes that inputs_ can hold
  Tensor control_;           // kernels::StepControl, as f64
  std::deque<InFlight> in_flight_;
  std::vector<ReadBack> free_;  // to be used again
};

}  // namespace unet
