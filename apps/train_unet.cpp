// Trains a UNet in two phases: cross-entropy for --epochs, then soft-Dice for a third of them from the best checkpoint
// of phase 1. Cross-entropy can keep falling while Dice drops, and the task is judged by Dice.
#include <chrono>
#include <cstdio>

#include "apps/data_options.h"
#include "apps/evaluation.h"
#include "apps/options.h"
#include "apps/progress.h"
#include "apps/run_folder.h"
#include "engine/core/error.h"
#include "models/unet_checkpoint.h"

using namespace unet;

namespace {

constexpr int kMostDroppedSteps = 10;  // in a row, before the run is given up

Var loss_of(LossKind kind, Tape& tape, const Var& logits, const Tensor& labels) {
  return kind == LossKind::dice ? soft_dice_loss(tape, logits, labels) : softmax_cross_entropy(tape, logits, labels);
}

std::string line_of(const EpochFigures& f, std::int64_t epochs, double waiting, const std::string& file) {
  return fmt::format(
      "phase {}  epoch {:>3}/{}  train loss {:.4f}  val loss {:.4f}  val dice {:.4f}  lr {:.2e}  {:.1f} s  {:.1f} "
      "images/s  "
      "waited {:.1f} %  {}\n",
      f.phase, f.epoch, epochs, f.train_loss, f.val_loss, f.val_dice, f.lr, f.seconds, f.images_per_second,
      100 * waiting / f.seconds, file);
}

void train(const TrainOptions& options) {
  if (options.precision != "fp32") {
    throw Error("--precision {}: this build trains in fp32 only; leave the option out", options.precision);
  }
  apply_runtime(options.device, options.conv, options.threads);

  const Dataset dataset = open_dataset(options);
  Loader training(dataset, Split::train, training_loader(options));
  Loader validation(dataset, Split::val, evaluation_loader(options));
  if (!options.quiet) fmt::print("{}", dataset.report());

  models::UNetSpec spec;
  spec.classes = options.classes;
  spec.base_channels = options.base_channels;
  spec.bilinear = options.bilinear;
  models::UNet model(spec, options.seed);
  Parameters& parameters = model.parameters();
  if (!options.init.empty()) load_model(SafetensorsFile(options.init), parameters);
  const Metadata metadata =
      models::unet_metadata({spec, options.image_size.height, options.image_size.width, options.border});
  if (!options.quiet) {
    fmt::print("unet: {} parameters, base channels {}, {} classes, images {}\n", parameters.count(), spec.base_channels,
               spec.classes, options.image_size.str());
    std::fflush(stdout);
  }
  RunFolder folder(options, summary(dataset));

  const std::int64_t batches = training.batches();
  const std::int64_t steps_an_epoch = (batches + options.accumulate - 1) / options.accumulate;
  std::int64_t all_steps = 0, all_epochs = 0;
  bool finished = false;
  for (const Phase& phase : phases_of(options)) {
    if (finished) break;
    if (phase.number == 2) {
      load_model(SafetensorsFile(folder.best_file(1)), parameters);
      if (!options.quiet) {
        fmt::print("phase 2: {} from the best of phase 1 (epoch {}, val dice {:.4f})\n", name_of(phase.loss),
                   folder.best_of_phase(1)->epoch, folder.best_of_phase(1)->dice);
      }
    } else if (!options.quiet) {
      fmt::print("phase 1: {}\n", name_of(phase.loss));
    }
    kernels::AdamSpec adam;
    adam.weight_decay = options.weight_decay;
    adam.decoupled = true;
    Adam optimizer(parameters, adam);
    ScheduleSpec schedule;
    schedule.kind = options.schedule;
    schedule.lr = phase.lr;
    schedule.warmup = options.warmup;
    PlateauState plateau;
    std::int64_t step = 0;  // within the phase
    int dropped = 0;        // steps in a row that were not finite

    for (std::int64_t epoch = 1; epoch <= phase.epochs && !finished; ++epoch) {
      const auto begin = std::chrono::steady_clock::now();
      EpochFigures figures;
      figures.phase = phase.number;
      figures.epoch = epoch;
      double loss_sum = 0;
      std::int64_t images = 0, seen_batches = 0;
      Progress progress(fmt::format("phase {} epoch {}/{}", phase.number, epoch, phase.epochs), training.images(),
                        options.quiet);

      const double waited_before = training.waited_seconds();
      training.start(all_epochs++);
      while (seen_batches < batches && !finished) {
        // One step: as many passes as --accumulate says, fewer at the end of the epoch; its loss is their mean.
        const std::int64_t passes = std::min(options.accumulate, batches - seen_batches);
        double step_loss = 0;
        for (std::int64_t pass = 0; pass < passes; ++pass) {
          const Batch batch = training.next().value();
          const auto [pixels, labels] = to_tensors(batch);
          Tape tape;
          const Var logits =
              model.forward(tape, normalize_images(tape, pixels, imagenet_normalization(), 3, parameters.dtype()));
          const Var loss = loss_of(phase.loss, tape, logits, labels);
          tape.backward(loss, 1.0 / static_cast<double>(passes));
          step_loss += *loss.value.data<double>() / static_cast<double>(passes);
          images += batch.N;
          loss_sum += *loss.value.data<double>() * static_cast<double>(batch.N);
        }
        seen_batches += passes;
        figures.lr = learning_rate(schedule, step, steps_an_epoch * phase.epochs, plateau);
        const StepResult result = optimizer.commit(step_loss, figures.lr, options.clip_norm);
        folder.add_step(phase.number, epoch, ++step, result, figures.lr);
        finished = ++all_steps == options.max_steps;
        progress.update(images);
        if (options.verbose) {
          fmt::print("step {}  loss {:.6f}  grad norm {:.4f}  lr {:.3e}\n", step, result.loss, result.grad_norm,
                     figures.lr);
        }
        dropped = result.committed ? 0 : dropped + 1;
        if (!result.committed) fmt::print(stderr, "train_unet: step {} is dropped: {}\n", step, result.reason);
        if (dropped == kMostDroppedSteps) {
          throw Error(
              "{} steps in a row were not finite; last: {}. Try a lower --lr, --warmup or --clip-norm; the best "
              "file so far is untouched.",
              dropped, result.reason);
        }
      }
      const double training_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      progress.clear();

      const Evaluation val = evaluate(model, validation);
      figures.train_loss = loss_sum / static_cast<double>(images);
      figures.val_cross_entropy = val.cross_entropy;
      figures.val_loss = phase.loss == LossKind::dice ? val.soft_dice_loss : val.cross_entropy;
      figures.val_dice = val.metrics.dice();
      figures.val_dice_dataset = val.metrics.dataset().dice;
      figures.val_iou = val.metrics.iou();
      figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      figures.images_per_second = static_cast<double>(images) / training_seconds;
      plateau = update_plateau(schedule, plateau, figures.val_dice);
      const std::string file = folder.add_epoch(figures, parameters, metadata);
      if (!options.quiet) {
        fmt::print("{}", line_of(figures, phase.epochs, training.waited_seconds() - waited_before, file));
        std::fflush(stdout);
      }
    }
  }
  fmt::print("best: {} (phase {}, epoch {}, val dice {:.4f})\n", folder.best_file().string(), folder.best()->phase,
             folder.best()->epoch, folder.best()->dice);
  fmt::print("evaluate it: eval_unet -c {} -d {} --split test\n", folder.best_file().string(), options.data);
}

}  // namespace

int main(int argc, char** argv) {
  TrainOptions options;
  if (const std::optional<int> code = parse(argc, argv, options)) return *code;
  try {
    train(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "train_unet: {}\n", error.what());
    return 1;
  }
  return 0;
}
