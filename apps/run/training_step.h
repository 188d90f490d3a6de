// A training step: what the run is made of, and what a dry run tries.
#pragma once

#include <vector>

#include "apps/options.h"
#include "engine/data/loader.h"
#include "engine/train/optimizer.h"
#include "models/segmenter.h"

namespace unet {

/// A step on its way: what the loop must know of it when its result comes.
struct IssuedStep {
  double lr = 0;
  std::vector<std::int64_t> sizes;  // images of each pass
};

/// One step from the epoch's batch `batch` on, which is the loader's next: --accumulate passes or what is left, forward
/// and backward, each with its share of the images, then the commit.
IssuedStep issue_step(const TrainOptions& options, models::Segmenter& model, LossKind loss, Loader& loader,
                      Adam& optimizer, std::int64_t batch, double lr);

}  // namespace unet
