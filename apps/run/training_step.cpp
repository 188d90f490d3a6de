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

IssuedStep issue_step(const TrainOptions& options, models::Segmenter& model, LossKind loss_kind, Loader& loader,
                      Adam& optimizer, std::int64_t batch, double lr) {
  const std::int64_t passes = std::min(options.accumulate, loader.batches() - batch);
  const std::int64_t images = std::min(passes * options.batch_size, loader.images() - batch * options.batch_size);
  IssuedStep step{lr, {}};
  std::vector<Tensor> losses;
  std::vector<double> shares;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    const Batch next = loader.next().value();
    const auto [pixels, labels] = to_tensors(next, model.device());
    Tape tape;
    const Var logits = models::logits(model, tape, pixels);
    const Var loss = loss_of(loss_kind, options.background, tape, logits, labels);
    const double share = static_cast<double>(next.N) / static_cast<double>(images);
    tape.backward(loss, share);
    losses.push_back(loss.value);
    shares.push_back(share);
    step.sizes.push_back(next.N);
  }
  optimizer.commit(losses, lr, options.clip_norm, shares);
  return step;
}

}  // namespace unet
