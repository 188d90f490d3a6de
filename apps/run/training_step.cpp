#include "apps/run/training_step.h"

#include <algorithm>

#include "apps/run/evaluation.h"
#include "engine/ops/ops.h"

namespace unet {
namespace {

Var loss_of(LossKind kind, Background background, Tape& tape, const Var& logits, const Tensor& labels) {
  if (kind == LossKind::cross_entropy) return softmax_cross_entropy(tape, logits, labels);
  kernels::SoftDiceSpec spec;
  spec.background = background == Background::none;
  return soft_dice_loss(tape, logits, labels, spec);
}

}  // namespace

std::int64_t issue_step(const TrainOptions& options, models::Segmenter& model, LossKind loss_kind, Loader& loader,
                        Step& step, std::int64_t batch, double lr) {
  const std::int64_t passes = std::min(options.accumulate, loader.batches() - batch);
  StepSettings settings{lr, options.clip_norm, {}};
  for (std::int64_t pass = batch; pass < batch + passes; ++pass) {
    settings.images.push_back(std::min(options.batch_size, loader.images() - pass * options.batch_size));
  }
  step.begin(std::move(settings));
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    Batch made = loader.next().value();
    const auto [pixels, labels] = to_tensors(made, model.device());
    loader.give_back(std::move(made));
    Tape tape;
    const Var logits = models::logits(model, tape, pixels);
    step.backward(tape, loss_of(loss_kind, options.background, tape, logits, labels));
  }
  step.commit();
  return passes;
}

}  // namespace unet
