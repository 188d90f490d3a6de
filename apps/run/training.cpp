#include "apps/run/training.h"

#include <algorithm>

#include "apps/run/data_options.h"
#include "apps/run/plan_cache.h"
#include "apps/run/screen.h"
#include "apps/run/signals.h"
#include "engine/core/error.h"
#include "models/description.h"
#include "models/encoder_weights.h"

namespace unet {
namespace {

void say_classes(const TrainOptions& options, const EpochFigures& figures) {
  const std::vector<std::string> names = class_names(options);
  std::string text = "  dice of the classes, all images as one:";
  for (int c = 0; c < figures.val.classes(); ++c) {
    text += fmt::format("{} {} {}", c > 0 ? "," : "", names[static_cast<std::size_t>(c)],
                        figure_text(figures.val.of_class(c).dice));
  }
  say("{}\n", text);
}

}  // namespace

void Run::save(const Learner& learner, const std::optional<EpochFigures>& ended) {
  record.plans = conv_plan_choices();
  saver.begin(learner, ended);
  keep_plans();
  saved = Stopwatch();
}

void Run::stop() {
  saver.finish();
  throw Interrupted{!folder.replaces()};
}

std::optional<SafetensorsFile> state_of_run(const TrainOptions& options, RunLock& lock) {
  const std::filesystem::path folder = options.resume.empty() || options.resume == "auto"
                                           ? std::filesystem::path(options.output)
                                           : std::filesystem::absolute(options.resume).parent_path();
  if (!options.dry_run && std::filesystem::is_directory(folder)) {
    lock.take(folder);
    restore_replaced_run(folder);
  }
  if (options.resume.empty()) return std::nullopt;
  return std::optional<SafetensorsFile>(std::in_place, state_to_resume(options.resume, options.output));
}

models::SegmenterSpec spec_of(const TrainOptions& options) {
  return {.classes = options.classes,
          .base_channels = options.base_channels,
          .bilinear = options.bilinear,
          .model = options.model,
          .normalization = options.normalization.value_or(imagenet_normalization())};
}

Metadata metadata_of(const TrainOptions& options) {
  return models::metadata_of({.spec = spec_of(options),
                              .height = options.image_size.height,
                              .width = options.image_size.width,
                              .crops = options.crop.has_value(),
                              .border = options.border,
                              .exif = options.exif,
                              .background = options.background,
                              .group_by = options.data.group_by,
                              .class_map = options.data.map,
                              .binarize = static_cast<int>(options.data.binarize)});
}

RunRecord record_of(const TrainOptions& options, const Machine& machine, const Dataset& dataset) {
  RunRecord record;
  for (auto& [name, value] : resolved(options)) record.options[name] = value;
  record.data_hash = hash_text(dataset);
  record.machine = sameness_text(machine);
  return record;
}

void check_sense(const TrainOptions& options, const Dataset& dataset, const models::Segmenter& model) {
  for (const std::string& warning : dataset.warnings()) warn("train_unet: warning: {}\n", warning);
  for (const std::string& warning : dataset.check_trainable()) warn("train_unet: warning: {}\n", warning);
  for (const Phase& phase : recipe_of(options)) {
    const double lr = phase.lr * std::max(1.0, options.encoder_lr_scale);
    if (lr * options.weight_decay <= 1) continue;
    throw Error(
        "--weight-decay {} times the learning rate {} of phase {} is above 1: each step would throw the weights "
        "beyond 0; lower one of the two",
        options.weight_decay, lr, phase.number);
  }
  const std::int64_t images = dataset.size(Split::train) * options.crops_per_image, left = images % options.batch_size;
  const std::int64_t fewest = left > 0 ? left : std::min(images, options.batch_size);
  if (fewest * model.deepest_pixels(options.image_size.height, options.image_size.width) == 1) {
    throw Error(
        "batches of one image at {0} {1} leave the deepest batch norm one value a channel, which has no "
        "variance: the network would not learn what it is evaluated with. {2} images in batches of {3} end with one "
        "image; choose another --batch-size, or {0} of 32 or more",
        options.crop ? "--crop" : "--image-size", options.image_size.str(), images, options.batch_size);
  }
}

Tensor class_weights_of(const TrainOptions& options, const Dataset& dataset, Device device) {
  const std::vector<double> weights = weights_of(options.class_weights, dataset.training_classes());
  if (weights.empty()) return {};
  return Tensor::of({static_cast<std::int64_t>(weights.size())}, Dtype::f32, weights).to(device);
}

void check_same(const RunRecord& then, const RunRecord& now, bool force) {
  std::string list;
  for (const std::string& line : differences(then, now, harmless_options())) list += "\n  " + escaped(line);
  if (list.empty()) return;
  if (!force) {
    throw Error("the run cannot be resumed as it was:" + list + "\nMend these, or resume all the same with --force");
  }
  warn_text("train_unet: warning: resumed in spite of differences:" + list + "\n");
}

bool out_of_steps(const TrainOptions& options, const RunState& state) {
  return options.max_steps > 0 && state.all_steps >= options.max_steps;
}

bool ended_by_patience(Run& run) {
  const std::int64_t patience = run.options.patience;
  const RunState& state = run.record.state;
  const auto is_over = [&] {
    const std::optional<Best>& best = state.best_of_phase.back();
    return best && state.epoch - 1 - best->epoch >= patience;
  };
  if (patience == 0 || !is_over()) return false;
  run.saver.finish();  // only then it is known whether the epoch before is the best
  if (!is_over()) return false;
  if (!run.options.quiet) {
    const Best& best = *state.best_of_phase.back();
    const std::int64_t age = state.epoch - 1 - best.epoch;
    say("phase {} ends: its best ({}) is {} epoch{} old\n", state.phase, text_of(best, run.options.best_by), age,
        age == 1 ? "" : "s");
  }
  return true;
}

void require_learnt(const Phase& phase, const Optimizer& optimizer) {
  if (optimizer.steps() > 0) return;
  throw Error(
      "phase {} ended without a step that was committed: nothing was learnt; look at the reasons above, or try a "
      "lower --lr, --warmup, --clip-norm or more steps",
      phase.number);
}

void book_step(Run& run, const StepResult& result) {
  RunState& state = run.record.state;
  const std::vector<std::int64_t>& images = result.settings.images;
  for (std::size_t pass = 0; pass < images.size(); ++pass) {
    state.loss_sum += result.losses[pass] * static_cast<double>(images[pass]);
    state.images += images[pass];
  }
  state.batch += static_cast<std::int64_t>(images.size());
  ++state.step;
  ++state.all_steps;
  run.folder.add_step(state, result);
  if (run.options.verbose) {
    say("step {}  loss {:.6f}  grad norm {:.4f}  lr {:.3e}\n", state.step, result.loss, result.grad_norm,
        result.settings.lr);
  }
  state.dropped = result.committed ? 0 : state.dropped + 1;
  if (!result.committed) warn("train_unet: step {} is dropped: {}\n", state.step, result.reason);
  if (state.dropped == kMostDroppedSteps) {
    throw Error(
        "{} steps in a row were not finite; last: {}. Try a lower --lr, --warmup or --clip-norm; the best file "
        "so far is untouched.",
        state.dropped, result.reason);
  }
}

Evaluation validate(Run& run, const PhaseLoss& loss, Loader& images, Learner& learner, Reviewer& reviewer) {
  const auto look_or_stop = [&](const Predicted& predicted) {
    // The epoch's steps are done; a resume begins with this validation.
    if (stop_signal() == 0) return reviewer.see(predicted);
    run.save(learner);
    run.stop();
  };
  const Views views{.pixels = [&](const Tensor& logits, const Tensor& labels) { reviewer.count(logits, labels); }};
  if (learner.average) learner.average->show();
  Evaluation out =
      evaluate(run.model, run.options.background, images, look_or_stop, {}, loss.plain() ? LossOfBatch() : loss, views);
  if (learner.average) learner.average->hide();
  reviewer.finish();
  return out;
}

EpochFigures figures_of(const Run& run, const Phase& phase, const Evaluation& val,
                        std::shared_ptr<const Reviewer> reviewer) {
  const TrainOptions& options = run.options;
  const RunState& state = run.record.state;
  const std::optional<double> score = score_of(options.best_by, val.metrics);
  if (!val.cross_entropy || !score) {
    throw Error(
        "the validation images have no {}: {}; look at their masks, or choose the best by another figure with "
        "--best-by",
        score ? "cross-entropy" : name_of(options.best_by),
        val.cross_entropy ? "none of them holds foreground at this --image-size" : "every pixel is ignored");
  }
  EpochFigures out(static_cast<int>(options.classes), options.background);
  out.phase = phase.number;
  out.epoch = state.epoch;
  out.val = val.metrics;
  out.train_loss = state.loss_sum / static_cast<double>(state.images);
  out.val_cross_entropy = *val.cross_entropy;
  out.val_loss = val.asked_loss         ? *val.asked_loss
                 : phase.loss.dice != 0 ? val.soft_dice_loss.value()
                                        : *val.cross_entropy;
  out.val_dice = val.metrics.dice().value();
  out.score = *score;
  out.reviewer = std::move(reviewer);
  return out;
}

ScheduleSpec schedule_of(const TrainOptions& options, const Phase& phase) {
  ScheduleSpec out;
  out.kind = options.schedule;
  out.lr = phase.lr;
  out.warmup = options.warmup;
  return out;
}

void thaw_encoder(Run& run) {
  const std::int64_t frozen = run.options.freeze_encoder;
  const RunState& state = run.record.state;
  if (frozen == 0 || state.all_epochs < frozen) return;
  run.model.parameters().set_trainable(models::kEncoder, true);
  if (state.all_epochs == frozen && state.batch == 0 && !run.options.quiet) say("the encoder learns from here on\n");
}

void begin_next_epoch(RunState& state) {
  ++state.epoch;
  ++state.all_epochs;
  state.batch = state.images = 0;
  state.loss_sum = 0;
}

void begin_next_phase(RunState& state) {
  ++state.phase;
  state.best_of_phase.emplace_back();
  state.epoch = 1;
  state.step = 0;
  state.dropped = 0;
  state.plateau = PlateauState();
}

const Best& best_before(const RunState& state) {
  return *state.best_of_phase.at(static_cast<std::size_t>(state.phase - 2));
}

void say_start(const TrainOptions& options, const Machine& machine, const models::Segmenter& model,
               const Tensor& class_weights) {
  say("device: {}, {}\n", machine.text, machine.arithmetic);
  const std::string normalization = models::text_of(model.spec().normalization);
  say("{}: {} parameters, base channels {}, {} classes, {} {}{}\n", options.model, model.parameters().count(),
      options.base_channels, options.classes, options.crop ? "crops" : "images", options.image_size.str(),
      normalization == "imagenet" ? "" : ", normalization " + normalization);
  if (class_weights.defined()) {
    const std::vector<std::string> names = class_names(options);
    const std::vector<double> weights = class_weights.to(Device()).values<double>();
    std::string text;
    for (std::size_t c = 0; c < names.size(); ++c)
      text += fmt::format("{}{} {:.4g}", c > 0 ? ", " : "", names[c], weights[c]);
    say("class weights: {}\n", text);
  }
  if (options.freeze_encoder > 0) {
    const std::int64_t frozen = options.freeze_encoder;
    say("the encoder does not learn{}\n", frozen == kAllEpochs ? ""
                                          : frozen == 1        ? " in the first epoch"
                                                               : fmt::format(" in the first {} epochs", frozen));
  }
}

void say_resumed(const std::filesystem::path& file, const RunState& state) {
  say("resumed from {}: phase {}, epoch {}, {} steps done\n", file.string(), state.phase, state.epoch, state.all_steps);
}

void say_phase(const Run& run, const Phase& phase) {
  std::string begins;
  if (phase.number > 1 && phase.from == From::last) begins = fmt::format(" from the end of phase {}", phase.number - 1);
  if (phase.number > 1 && phase.from == From::best) {
    begins = fmt::format(" from the best of phase {} ({})", phase.number - 1,
                         text_of(best_before(run.record.state), run.options.best_by));
  }
  say("phase {}: {}{}\n", phase.number, nn::text_of(phase.loss), begins);
}

void say_epoch(const Run& run, const Phase& phase, const EpochFigures& f, bool best, double waited) {
  say("phase {}  epoch {:>3}/{}  loss {:.4f}  val loss {:.4f}  val dice {:.4f}  {:.1f} s  {:.1f} img/s{}\n", f.phase,
      f.epoch, phase.epochs, f.train_loss, f.val_loss, f.val_dice, f.seconds, f.images_per_second,
      best ? "  best" : "");
  if (run.options.verbose) say_classes(run.options, f);
  if (run.record.state.all_epochs > 1 || waited <= 0.2) return;
  say("the network waited {:.0f} % of the epoch for images: more --workers or a larger --cache-mb may help\n",
      100 * waited);
}

void say_end(const Run& run, const Dataset& dataset) {
  const TrainOptions& options = run.options;
  const Best& best = *run.record.state.best;
  const std::string file = run.folder.best_file().string();
  say("best: {} (phase {}, {})\n", file, best.phase, text_of(best, options.best_by));
  const bool grouped = dataset.split_by_hash() && !options.data.group_by.empty();
  say("evaluate it: eval_unet -c {} {} --split {}{}\n", shell_path(file), data_words(options.data),
      dataset.size(Split::test) > 0 ? "test" : "val",
      grouped ? " --group-by=" + shell_word(options.data.group_by) : "");
}

}  // namespace unet
