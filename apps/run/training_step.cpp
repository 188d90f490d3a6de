#include "apps/run/training_step.h"

#include <algorithm>

#include "apps/run/evaluation.h"

namespace unet {

Var PhaseLoss::operator()(Tape& tape, const Var& logits, const Tensor& labels) const {
  return nn::loss_of(tape, logits, labels, loss, options);
}

bool PhaseLoss::plain() const {
  const std::string text = nn::text_of(loss);
  return (text == "cross_entropy" && !options.class_weights.defined()) || text == "dice";
}

PhaseLoss loss_of(const TrainOptions& options, const Phase& phase, const Tensor& class_weights) {
  PhaseLoss out;
  out.loss = phase.loss;
  out.options.background = options.background == Background::none;
  out.options.class_weights = class_weights;
  return out;
}

std::int64_t issue_step(const TrainOptions& options, models::Segmenter& model, const PhaseLoss& loss, Loader& loader,
                        Step& step, std::int64_t batch, double lr, const std::function<void(const Batch&)>& look) {
  const std::int64_t passes = std::min(options.accumulate, loader.batches() - batch);
  StepSettings settings{lr, options.clip_norm, {}};
  for (std::int64_t pass = batch; pass < batch + passes; ++pass) {
    settings.images.push_back(std::min(options.batch_size, loader.images() - pass * options.batch_size));
  }
  step.begin(std::move(settings));
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    Batch made = loader.next().value();
    if (look) look(made);
    const auto [pixels, labels] = to_tensors(made, model.device());
    loader.give_back(std::move(made));
    Tape tape;
    const Var logits = models::logits(model, tape, pixels);
    step.backward(tape, loss(tape, logits, labels));
  }
  step.commit();
  return passes;
}

}  // namespace unet
