// A training step: what the run is made of, and what a dry run tries.
#pragma once

#include <functional>

#include "apps/options.h"
#include "engine/data/loader.h"
#include "engine/nn/loss.h"
#include "engine/train/step.h"
#include "models/segmenter.h"

namespace unet {

/// What a phase minimises.
struct PhaseLoss {
  nn::Loss loss;
  nn::LossOptions options;
  Var operator()(Tape& tape, const Var& logits, const Tensor& labels) const;
  /// Neither class weights nor a sum: a figure of every evaluation.
  bool plain() const;
};
/// class_weights: f32 [C] on the model's device, or undefined.
PhaseLoss loss_of(const TrainOptions& options, const Phase& phase, const Tensor& class_weights);

/// One step from the epoch's batch `batch` on, which is the loader's next: --accumulate passes or what is left, forward
/// and backward, each with its share of the images, then the commit. Returns the number of passes. look: at the batches
/// as the network sees them.
std::int64_t issue_step(const TrainOptions& options, models::Segmenter& model, const PhaseLoss& loss, Loader& loader,
                        Step& step, std::int64_t batch, double lr, const std::function<void(const Batch&)>& look = {});

}  // namespace unet
