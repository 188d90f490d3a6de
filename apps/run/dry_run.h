// What a run would take of the machine, from two of its steps.
#pragma once

#include "apps/run/learner.h"
#include "apps/run/training_step.h"

namespace unet {

/// Says the operations of the network, the memory that the process will need at its peak and the seconds of an epoch,
/// as measured on two steps and two batches of validation. Writes no file.
void dry_run(const TrainOptions& options, const Machine& machine, models::Segmenter& model, const Tensor& class_weights,
             Learner& learner, Loader& training, Loader& validation);

}  // namespace unet
