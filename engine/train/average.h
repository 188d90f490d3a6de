// An exponential moving average of what a model is, its weights and the running statistics of its batch norms, as
// torch.optim.swa_utils.AveragedModel(use_buffers=True) keeps it with get_ema_multi_avg_fn(decay): kernels/average.h.
// Only the counts of the batch norms' batches, which nothing computes with, are the model's own.
#pragma once

#include "engine/autograd/parameters.h"
#include "kernels/step_control.h"

namespace unet {

class WeightAverage {
 public:
  /// Begins as what the model is now. decay: in (0, 1); Error otherwise. parameters outlives the average.
  WeightAverage(Parameters& parameters, double decay);
  WeightAverage(const WeightAverage&) = delete;
  WeightAverage& operator=(const WeightAverage&) = delete;

  /// Takes in what the model has become in a step, if control->verdict is commit; in the device's order. control: in
  /// its memory. For Step::after_update.
  void update(const kernels::StepControl* control);

  /// The parameters are the average from here on, and again what is trained. No value is copied; no step may be taken
  /// in between.
  void show();
  void hide();

  /// The average, and what is trained, wherever they lie; laid out as parameters.values() and .running().
  const Tensor& values() const { return shown_ ? parameters_.values() : values_; }
  const Tensor& running() const { return shown_ ? parameters_.running() : running_; }
  const Tensor& trained_values() const { return shown_ ? values_ : parameters_.values(); }
  const Tensor& trained_running() const { return shown_ ? running_ : parameters_.running(); }

  /// A training goes on that took `steps` committed steps: the average is what the parameters are now, and what is
  /// trained are these ranges of the host.
  void resume(const Tensor& trained_values, const Tensor& trained_running, std::int64_t steps);

 private:
  void exchange();

  Parameters& parameters_;
  double decay_;
  Tensor values_, running_;  // of the average, or while it is shown of what is trained
  Tensor steps_;             // committed: a std::int64_t, as f64
  bool shown_ = false;
};

}  // namespace unet
