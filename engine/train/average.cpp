#include "engine/train/average.h"

#include "engine/core/device_memory.h"
#include "engine/core/dispatch.h"
#include "kernels/average.h"
#include "kernels/step_count.h"

namespace unet {

WeightAverage::WeightAverage(Parameters& parameters, double decay)
    : parameters_(parameters),
      decay_(decay),
      values_(parameters.values().clone()),
      running_(parameters.running().clone()),
      steps_(Tensor::zeros({1}, Dtype::f64, parameters.device())) {
  if (!(decay > 0 && decay < 1)) throw Error("average of weights: decay {}, expected above 0 and below 1", decay);
}

void WeightAverage::update(const kernels::StepControl* control) {
  if (shown_) throw Error("average of weights: a step while the parameters are the average");
  auto* const steps = steps_.data<std::int64_t>();
  dispatch<cpu::count_step, cuda::count_step>(parameters_.device(), control, steps);
  const auto take_in = [&](const Tensor& now, const Tensor& average) {
    dispatch<cpu::update_average, cuda::update_average>(parameters_.device(), decay_, control, steps, now.const_view(),
                                                        average.view());
  };
  take_in(parameters_.values(), values_);
  take_in(parameters_.running(), running_);
}

void WeightAverage::exchange() {
  parameters_.exchange(values_, running_);
  shown_ = !shown_;
}

void WeightAverage::show() {
  if (!shown_) exchange();
}

void WeightAverage::hide() {
  if (shown_) exchange();
}

void WeightAverage::resume(const Tensor& trained_values, const Tensor& trained_running, std::int64_t steps) {
  const Device device = parameters_.device();
  // What the parameters were becomes the average's memory, and the average's the parameters'.
  parameters_.exchange(values_, running_);
  upload(parameters_.values().data<void>(), device, trained_values.data<void>(), trained_values.bytes());
  upload(parameters_.running().data<void>(), device, trained_running.data<void>(), trained_running.bytes());
  parameters_.values_changed();
  upload(steps_.data<void>(), device, &steps, sizeof steps);
}

}  // namespace unet
