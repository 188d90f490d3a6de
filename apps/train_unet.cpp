// Trains a UNet in two phases: cross-entropy for --epochs, then soft-Dice for a third of them from the best checkpoint
// of phase 1. Cross-entropy can keep falling while Dice drops, and the task is judged by Dice.
#include <chrono>
#include <cstdio>

#include "apps/options.h"
#include "apps/run/data_options.h"
#include "apps/run/dry_run.h"
#include "apps/run/evaluation.h"
#include "apps/run/failure.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/run/screen.h"
#include "apps/run/signals.h"
#include "apps/run/training_step.h"
#include "engine/core/error.h"
#include "engine/ops/conv_plans.h"
#include "models/unet_checkpoint.h"

using namespace unet;

namespace {

/// At most 100 columns.
std::string line_of(const EpochFigures& f, std::int64_t epochs, bool best) {
  return fmt::format(
      "phase {}  epoch {:>3}/{}  loss {:.4f}  val loss {:.4f}  val dice {:.4f}  {:.1f} s  {:.1f} img/s{}\n", f.phase,
      f.epoch, epochs, f.train_loss, f.val_loss, f.val_dice, f.seconds, f.images_per_second, best ? "  best" : "");
}

/// "epoch 7, val dice 0.9", and the figure that chose it if that is another.
std::string text_of(const Best& best, BestBy best_by) {
  const std::string other = best_by == BestBy::dice ? "" : fmt::format(", {} {:.4f}", name_of(best_by), best.score);
  return fmt::format("epoch {}, val dice {:.4f}{}", best.epoch, best.dice, other);
}

bool out_of_steps(const TrainOptions& options, const RunState& state) {
  return options.max_steps > 0 && state.all_steps >= options.max_steps;
}

/// Throws Error naming every difference that keeps a run from being resumed, or with --force only warns.
void check_same(const RunRecord& then, const RunRecord& now, bool force) {
  std::string list;
  for (const std::string& line : differences(then, now)) list += "\n  " + escaped(line);
  if (list.empty()) return;
  if (!force) {
    throw Error("the run cannot be resumed as it was:" + list + "\nMend these, or resume all the same with --force");
  }
  warn_text("train_unet: warning: resumed in spite of differences:" + list + "\n");
}

void begin_next_phase(RunState& state) {
  ++state.phase;
  state.epoch = 1;
  state.step = 0;
  state.dropped = 0;
  state.plateau = PlateauState();
}

/// The pieces of a run that every part of the loop works on.
struct Run {
  const TrainOptions& options;
  const Machine& machine;
  models::UNet& model;
  const Metadata& metadata;
  RunFolder& folder;
  RunRecord& record;  // record.state is where the run stands
  std::chrono::steady_clock::time_point saved = std::chrono::steady_clock::now();

  void save(const Adam& optimizer) {
    record.plans = conv_plan_choices();
    folder.save_state(record, model.parameters(), optimizer, metadata);
    saved = std::chrono::steady_clock::now();
  }
  /// After a stop signal.
  [[noreturn]] void save_and_stop(const Adam& optimizer) {
    save(optimizer);
    throw Interrupted{!folder.replaces()};
  }
};

/// Books a step whose result is there. Throws Error after too many in a row that were not finite.
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

/// What is left of the epoch under way, up to validation; the learning rate of its last step. Throws Interrupted, the
/// state saved, after a stop signal.
double train_epoch(Run& run, const Phase& phase, const ScheduleSpec& schedule, Loader& loader, Adam& optimizer) {
  const TrainOptions& options = run.options;
  RunState& state = run.record.state;
  const std::int64_t batches = loader.batches();
  const std::int64_t all_steps = (batches + options.accumulate - 1) / options.accumulate * phase.epochs;
  double lr = learning_rate(schedule, std::max<std::int64_t>(0, state.step - 1), all_steps, state.plateau);
  Progress progress(fmt::format("phase {} epoch {}/{}", phase.number, state.epoch, phase.epochs), loader.images(),
                    options.quiet);
  // The state holds what is booked. A GPU is kept one step ahead of the books, so that it never waits for them.
  const std::size_t ahead = run.machine.device.is_cpu() ? 0 : 1;
  Step train_step(run.model.parameters(), optimizer);
  const auto book_all_but = [&](std::size_t left) {
    while (const std::optional<StepResult> result = train_step.take_result(left)) {
      book_step(run, *result);
      progress.update(state.images);
    }
  };
  loader.start(state.all_epochs, state.batch);
  std::int64_t batch = state.batch, step = state.step, total = state.all_steps;
  while (batch < batches && !(options.max_steps > 0 && total >= options.max_steps)) {
    lr = learning_rate(schedule, step, all_steps, state.plateau);
    batch += issue_step(options, run.machine, run.model, phase.loss, loader, train_step, batch, lr);
    ++step;
    ++total;
    book_all_but(ahead);
    const std::chrono::duration<double> unsaved = std::chrono::steady_clock::now() - run.saved;
    const bool stop = stop_signal() != 0;
    if (!stop && unsaved.count() < options.save_every) continue;
    book_all_but(0);
    if (stop) run.save_and_stop(optimizer);
    run.save(optimizer);
  }
  book_all_but(0);
  return lr;
}

/// Trains what is left of the phase: epochs, each ended by validation and files.
void train_phase(Run& run, const Phase& phase, Loader& training, Loader& validation, Adam& optimizer) {
  const TrainOptions& options = run.options;
  RunState& state = run.record.state;
  ScheduleSpec schedule;
  schedule.kind = options.schedule;
  schedule.lr = phase.lr;
  schedule.warmup = options.warmup;
  while (state.epoch <= phase.epochs && !(state.batch == 0 && out_of_steps(options, state))) {
    const auto begin = std::chrono::steady_clock::now();
    const double waited_before = training.waited_seconds();
    const std::int64_t images_before = state.images;
    EpochFigures figures(static_cast<int>(options.classes), options.background);
    figures.phase = phase.number;
    figures.epoch = state.epoch;
    figures.lr = train_epoch(run, phase, schedule, training, optimizer);
    const double trained = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

    const Evaluation val = evaluate(run.model, run.machine, options.background, validation, [&](const Predicted&) {
      // The epoch's steps are done; a resume begins with this validation.
      if (stop_signal() != 0) run.save_and_stop(optimizer);
    });
    const std::optional<double> score = score_of(options.best_by, val.metrics);
    if (!val.cross_entropy || !score) {
      throw Error(
          "the validation images have no {}: {}; look at their masks, or choose the best by another figure with "
          "--best-by",
          score ? "cross-entropy" : name_of(options.best_by),
          val.cross_entropy ? "none of them holds foreground at this --image-size" : "every pixel is ignored");
    }
    figures.val = val.metrics;
    figures.train_loss = state.loss_sum / static_cast<double>(state.images);
    figures.val_cross_entropy = *val.cross_entropy;
    figures.val_loss = phase.loss == LossKind::dice ? val.soft_dice_loss.value() : figures.val_cross_entropy;
    figures.val_dice = val.metrics.dice().value();
    figures.score = *score;
    figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    figures.images_per_second = static_cast<double>(state.images - images_before) / trained;
    state.plateau = update_plateau(schedule, state.plateau, figures.score);
    const bool best = run.folder.add_epoch(state, figures, run.model.parameters(), run.metadata);
    ++state.epoch;
    ++state.all_epochs;
    state.batch = state.images = 0;
    state.loss_sum = 0;
    run.save(optimizer);
    if (!options.quiet) {
      say_text(line_of(figures, phase.epochs, best));
      const double waited = training.waited_seconds() - waited_before;
      if (state.all_epochs == 1 && waited > 0.2 * trained) {
        say("the network waited {:.0f} % of the epoch for images: more --workers or a larger --cache-mb may help\n",
            100 * waited / trained);
      }
    }
    if (stop_signal() != 0) throw Interrupted{!run.folder.replaces()};
  }
  if (optimizer.steps() == 0) {
    throw Error(
        "phase {} ended without a step that was committed: nothing was learnt; look at the reasons above, or try a "
        "lower --lr, --warmup, --clip-norm or more steps",
        phase.number);
  }
}

/// Throws Error on what would make training senseless.
void check_sense(const TrainOptions& options, const Dataset& dataset) {
  for (const std::string& warning : dataset.check_trainable()) warn("train_unet: warning: {}\n", warning);
  for (const Phase& phase : phases_of(options)) {
    if (phase.lr * options.weight_decay <= 1) continue;
    throw Error(
        "--weight-decay {} times the learning rate {} of phase {} is above 1: each step would throw the weights "
        "beyond 0; lower one of the two",
        options.weight_decay, phase.lr, phase.number);
  }
  const std::int64_t images = dataset.size(Split::train), left = images % options.batch_size;
  const std::int64_t fewest = left > 0 ? left : std::min(images, options.batch_size);
  if (fewest * models::UNet::deepest_pixels(options.image_size.height, options.image_size.width) == 1) {
    throw Error(
        "batches of one image at --image-size {} leave the deepest batch norm one value a channel, which has no "
        "variance: the network would not learn what it is evaluated with. {} images in batches of {} end with one "
        "image; choose another --batch-size, or an --image-size of 32 or more",
        options.image_size.str(), images, options.batch_size);
  }
}

void train(const TrainOptions& options) {
  const Machine machine = machine_of(options.machine);
  RunLock lock;
  const std::filesystem::path folder_now = options.resume.empty() || options.resume == "auto"
                                               ? std::filesystem::path(options.output)
                                               : std::filesystem::absolute(options.resume).parent_path();
  if (!options.dry_run && std::filesystem::is_directory(folder_now)) {
    lock.take(folder_now);
    restore_replaced_run(folder_now);
  }
  std::optional<SafetensorsFile> resumed;
  if (!options.resume.empty()) resumed.emplace(state_to_resume(options.resume, options.output));

  const Dataset dataset = open_dataset(options);
  Loader training(dataset, Split::train, training_loader(options));
  Loader validation(dataset, Split::val, evaluation_loader(options));
  if (!options.quiet) say_text(dataset.report());
  for (const std::string& warning : dataset.warnings()) warn("train_unet: warning: {}\n", warning);
  check_sense(options, dataset);

  models::UNetSpec spec;
  spec.classes = options.classes;
  spec.base_channels = options.base_channels;
  spec.bilinear = options.bilinear;
  models::UNet model(spec, options.seed, Dtype::f32, machine.device, machine.bf16_copies);
  Parameters& parameters = model.parameters();
  const Metadata metadata = models::unet_metadata({spec, options.image_size.height, options.image_size.width,
                                                   options.border, options.exif, options.background, options.group_by});
  if (!options.quiet) {
    say("device: {}, {}\n", machine.text, options.machine.precision);
    say("unet: {} parameters, base channels {}, {} classes, images {}\n", parameters.count(), spec.base_channels,
        spec.classes, options.image_size.str());
  }

  kernels::AdamSpec adam;
  adam.weight_decay = options.weight_decay;
  adam.decoupled = true;
  const Decay decay = options.decay_all ? Decay::all : Decay::weights;
  std::optional<Adam> optimizer;  // of the phase under way
  RunRecord record;
  for (const auto& [name, value] : options.resolved()) record.options[name] = value;
  record.data_hash = hash_text(dataset);
  record.machine = sameness_text(machine);
  if (resumed) {
    const RunRecord then = run_record(*resumed);
    check_same(then, record, options.force);
    record.state = then.state;
    // Elsewhere they do not hold, and --force it was.
    if (then.machine == record.machine) replay_conv_plans(then.plans);
    optimizer.emplace(parameters, adam, decay);
    load_training(*resumed, parameters, *optimizer);  // before the folder is touched: it may be refused
  } else if (!options.init.empty()) {
    load_model(SafetensorsFile(options.init), parameters);
  }
  if (options.dry_run) {
    if (!resumed) check_output(options);
    if (!optimizer) optimizer.emplace(parameters, adam, decay);
    dry_run(options, machine, model, *optimizer, training, validation);
    return;
  }
  RunFolder folder = resumed ? RunFolder::resume(resumed->path().parent_path(), options, record.state)
                             : RunFolder::create(options, machine, dataset, record.state, lock);
  Run run{options, machine, model, metadata, folder, record};
  RunState& state = record.state;
  if (resumed && !options.quiet) {
    say("resumed from {}: phase {}, epoch {}, {} steps done\n", resumed->path().string(), state.phase, state.epoch,
        state.all_steps);
  }
  watch_stop_signals();

  for (const Phase& phase : phases_of(options)) {
    if (phase.number < state.phase) continue;
    if (resumed) {
      resumed.reset();
    } else {
      optimizer.emplace(parameters, adam, decay);
      if (phase.number > state.phase) {
        if (out_of_steps(options, state)) break;
        begin_next_phase(state);
        folder.load_best(*state.best_of_phase[0], parameters);
      }
      run.save(*optimizer);
    }
    if (!options.quiet) {
      say("phase {}: {}{}\n", phase.number, name_of(phase.loss),
          phase.number == 1
              ? ""
              : fmt::format(" from the best of phase 1 ({})", text_of(*state.best_of_phase[0], options.best_by)));
    }
    train_phase(run, phase, training, validation, *optimizer);
  }
  say("best: {} (phase {}, {})\n", folder.best_file().string(), state.best->phase,
      text_of(*state.best, options.best_by));
  const bool grouped = dataset.split_by_hash() && !options.group_by.empty();
  say("evaluate it: eval_unet -c {} -d {} --split {}{}\n", shell_path(folder.best_file().string()),
      shell_path(options.data), dataset.size(Split::test) > 0 ? "test" : "val",
      grouped ? " --group-by=" + shell_word(options.group_by) : "");
}

}  // namespace

int main(int argc, char** argv) {
  begin_program();
  TrainOptions options;
  try {
    if (const std::optional<int> code = parse(argc, argv, options)) return *code;
    outlive_the_screen();
    train(options);
  } catch (const Interrupted& interrupted) {
    warn("train_unet: stopped by signal {}; {}\n", stop_signal(),
         interrupted.saved ? "the run is saved: the same command with --resume auto goes on"
                           : "no step of it was committed");
    return 128 + stop_signal();
  } catch (const std::exception& error) {
    return fail("train_unet", error);
  }
  return 0;
}
