#include "apps/run/learner.h"

#include "engine/train/adam.h"
#include "engine/train/sgd.h"

namespace unet {
namespace {

std::unique_ptr<Optimizer> optimizer_of(const TrainOptions& options, Parameters& parameters) {
  const Decay decay = options.decay_all ? Decay::all : Decay::weights;
  switch (options.optimizer) {
    case OptimizerKind::adam:
      return std::make_unique<Adam>(parameters,
                                    kernels::AdamSpec{.weight_decay = options.weight_decay, .decoupled = true}, decay);
    case OptimizerKind::sgd:
      return std::make_unique<Sgd>(
          parameters,
          kernels::SgdSpec{
              .momentum = options.momentum, .nesterov = options.nesterov, .weight_decay = options.weight_decay},
          decay);
  }
  return nullptr;
}

}  // namespace

Learner::Learner(const TrainOptions& options, Parameters& parameters)
    : optimizer(optimizer_of(options, parameters)),
      average(options.ema > 0 ? std::make_unique<WeightAverage>(parameters, options.ema) : nullptr),
      step(parameters, *optimizer) {
  if (!average) return;
  step.after_update([average = average.get()](const kernels::StepControl* control) { average->update(control); });
}

}  // namespace unet
