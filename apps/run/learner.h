// What a phase learns by.
#pragma once

#include <memory>

#include "apps/options.h"
#include "engine/train/average.h"
#include "engine/train/optimizer.h"
#include "engine/train/step.h"

namespace unet {

/// The optimizer of --optimizer, with --ema an average of the weights that follows it, and the step that both belong
/// to. Each phase begins with new ones.
struct Learner {
  /// Begins with what the parameters are now; they outlive it.
  Learner(const TrainOptions& options, Parameters& parameters);

  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<WeightAverage> average;  // or null
  Step step;
};

}  // namespace unet
