// A training step: what the run is made of, and what a dry run tries.
#pragma once

#include "apps/options.h"
#include "engine/data/loader.h"
#include "engine/train/step.h"
#include "models/segmenter.h"

namespace unet {

/// One step from the epoch's batch `batch` on, which is the loader's next: --accumulate passes or what is left, forward
/// and backward, each with its share of the images, then the commit. Returns the number of passes.
std::int64_t issue_step(const TrainOptions& options, models::Segmenter& model, LossKind loss, Loader& loader,
                        Step& step, std::int64_t batch, double lr);

}  // namespace unet
