// Trains a network in phases: by default cross-entropy for --epochs, then soft-Dice for a third of them from the best
// checkpoint of phase 1. Cross-entropy can keep falling while Dice drops, and the task is judged by Dice.
#include "apps/programs.h"
#include "apps/run/data_options.h"
#include "apps/run/dry_run.h"
#include "apps/run/failure.h"
#include "apps/run/progress.h"
#include "apps/run/screen.h"
#include "apps/run/signals.h"
#include "apps/run/training.h"
#include "apps/run/weights.h"
#include "engine/core/error.h"

namespace unet {
namespace {

/// What is left of the epoch under way, up to validation; the learning rate of its last step. Throws Interrupted, the
/// state saved, after a stop signal.
double train_epoch(Run& run, const Phase& phase, const ScheduleSpec& schedule, const PhaseLoss& loss, Loader& loader,
                   Learner& learner, Reviewer& reviewer) {
  const TrainOptions& options = run.options;
  RunState& state = run.record.state;
  const std::int64_t batches = loader.batches();
  const std::int64_t all_steps = (batches + options.accumulate - 1) / options.accumulate * phase.epochs;
  double lr = learning_rate(schedule, std::max<std::int64_t>(0, state.step - 1), all_steps, state.plateau);
  Progress progress(fmt::format("phase {} epoch {}/{}", phase.number, state.epoch, phase.epochs), loader.images(),
                    options.quiet);
  // The state holds what is booked. A GPU is kept one step ahead of the books, so that it never waits for them.
  const std::size_t ahead = run.model.device().is_cpu() ? 0 : 1;
  const auto book_all_but = [&](std::size_t left) {
    while (const std::optional<StepResult> result = learner.step.take_result(left)) {
      book_step(run, *result);
      progress.update(state.images);
    }
  };
  thaw_encoder(run);
  loader.start(state.all_epochs, state.batch);
  std::int64_t batch = state.batch, step = state.step;
  const auto look = [&](const Batch& made) {
    if (batch == 0) reviewer.see_training(made);
  };
  while (batch < batches && !(options.max_steps > 0 && state.all_steps - state.step + step >= options.max_steps)) {
    lr = learning_rate(schedule, step, all_steps, state.plateau);
    batch += issue_step(options, run.model, loss, loader, learner.step, batch, lr, look);
    ++step;
    book_all_but(ahead);
    if (stop_signal() == 0 && run.saved.seconds() < options.save_every) continue;
    book_all_but(0);
    run.save(learner);
    if (stop_signal() != 0) run.stop();
  }
  book_all_but(0);
  if (!reviewer.saw_training()) reviewer.see_training(loader.first(state.all_epochs));  // a resumed epoch
  return lr;
}

/// Trains what is left of the phase: epochs, each ended by validation and files.
void train_phase(Run& run, const Phase& phase, Loader& training, Loader& validation, Learner& learner) {
  const TrainOptions& options = run.options;
  RunState& state = run.record.state;
  const ScheduleSpec schedule = schedule_of(options, phase);
  const PhaseLoss loss = loss_of(options, phase, run.class_weights);
  while (state.epoch <= phase.epochs && !(state.batch == 0 && out_of_steps(options, state))) {
    if (state.batch == 0 && ended_by_patience(run)) break;
    const Stopwatch watch;
    const double waited_before = training.waited_seconds();
    const std::int64_t images_before = state.images;
    const auto reviewer =
        std::make_shared<Reviewer>(validation, class_names(options), options.background, run.model.device());
    const double lr = train_epoch(run, phase, schedule, loss, training, learner, *reviewer);
    const double trained = watch.seconds(), waited = training.waited_seconds() - waited_before;
    EpochFigures figures = figures_of(run, phase, validate(run, loss, validation, learner, *reviewer), reviewer);
    figures.lr = lr;
    figures.seconds = watch.seconds();
    figures.images_per_second = static_cast<double>(state.images - images_before) / trained;
    state.plateau = update_plateau(schedule, state.plateau, figures.score);
    run.saver.finish();  // the best so far is known by then
    const bool best = is_better(figures.score, state.best);
    begin_next_epoch(state);
    run.save(learner, figures);
    if (!options.quiet) say_epoch(run, phase, figures, best, waited / trained);
    if (stop_signal() != 0) run.stop();
  }
  require_learnt(phase, *learner.optimizer);
}

void train(const TrainOptions& asked, const models::Registry& registry) {
  if (!asked.write_class_map.empty()) return write_class_map(asked);
  if (!asked.quiet && !asked.preset_told.empty()) say("{}\n", asked.preset_told);
  const Machine machine = machine_of(asked.machine);
  RunLock lock;
  std::optional<SafetensorsFile> resumed = state_of_run(asked, lock);
  std::unique_ptr<TensorFile> init;
  if (!resumed && !asked.init.empty()) init = open_tensor_file(asked.init);
  TrainOptions options = with_normalization_of(resumed ? &*resumed : init.get(), asked, registry);
  options.machine.precision = machine.precision;  // what auto is here
  options.machine.autotune = machine.autotune;
  const Dataset dataset(dataset_options(options));
  Loader training(dataset, Split::train, training_loader(options));
  Loader validation(dataset, Split::val, evaluation_loader(options));
  if (!options.quiet) say_text(dataset.report());

  const auto model = models::make_segmenter(registry, spec_of(options), options.seed, machine);
  Parameters& parameters = model->parameters();
  prepare_encoder(options, *model, resumed.has_value());
  check_sense(options, dataset, *model);
  const Tensor class_weights = class_weights_of(options, dataset, model->device());
  if (!options.quiet) say_start(options, machine, *model, class_weights);

  std::optional<Learner> learner;  // of the phase under way
  RunRecord record = record_of(options, machine, dataset);
  RunState& state = record.state;
  if (resumed) {
    const RunRecord then = run_record(*resumed);
    check_same(then, record, options.force);
    state = then.state;
    // Elsewhere they do not hold, and --force it was. Those of --plans go before them.
    if (then.machine == record.machine) add_conv_plans(then.plans);
    learner.emplace(options, parameters);
    // Before the folder is touched: it may be refused.
    load_training(*resumed, parameters, *learner->optimizer, learner->average.get());
  } else if (init) {
    load_and_say(*init, *model, models::OtherHead::stays_as_drawn, options.quiet);
  }
  if (options.dry_run) {
    if (!resumed) check_output(options);
    if (!learner) learner.emplace(options, parameters);
    return dry_run(options, machine, *model, class_weights, *learner, training, validation);
  }
  RunFolder folder = resumed ? RunFolder::resume(resumed->path().parent_path(), options, state)
                             : RunFolder::create(options, machine, dataset, state, lock);
  folder.report_on(facts_of(asked, options, machine, *model, dataset), model->device());
  Run run{options, *model, metadata_of(options), folder, record, class_weights};
  if (resumed && !options.quiet) say_resumed(resumed->path(), state);
  watch_stop_signals();

  for (const Phase& phase : recipe_of(options)) {
    if (phase.number < state.phase) continue;
    if (resumed) {
      resumed.reset();
    } else {
      if (phase.number > state.phase) {
        if (out_of_steps(options, state)) break;
        run.saver.finish();  // the best of the phase before is read
        begin_next_phase(state);
        if (phase.from == From::best) folder.load_best(best_before(state), parameters);
      }
      learner.emplace(options, parameters);
      run.save(*learner);
      run.saver.finish();  // killed from here on, a run can be resumed
    }
    if (!options.quiet) say_phase(run, phase);
    train_phase(run, phase, training, validation, *learner);
  }
  run.saver.finish();
  folder.finish_report(state);
  say_end(run, dataset);
}

}  // namespace

int train_unet(int argc, char** argv, const models::Registry& registry) {
  begin_program();
  TrainOptions options;
  try {
    if (const std::optional<int> code = parse(argc, argv, options, registry)) return *code;
    outlive_the_screen();
    train(options, registry);
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

}  // namespace unet
