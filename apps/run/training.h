// What the training loop stands on: a run's pieces, its books, and what it says. The loop is apps/train_unet.cpp.
#pragma once

#include "apps/run/evaluation.h"
#include "apps/run/saver.h"
#include "apps/run/training_step.h"
#include "engine/core/stopwatch.h"

namespace unet {

/// The pieces of a run that every part of the loop works on.
struct Run {
  const TrainOptions& options;
  models::Segmenter& model;
  const Metadata metadata;
  RunFolder& folder;
  RunRecord& record;           // record.state is where the run stands
  const Tensor class_weights;  // on the model's device, or undefined
  Stopwatch saved{};           // since the last save
  Saver saver{folder, record, model.parameters(), metadata};

  /// Begins to save, with the files of an epoch that has ended.
  void save(const Learner& learner, const std::optional<EpochFigures>& ended = std::nullopt);
  /// After a stop signal and a save: throws Interrupted once that has ended.
  [[noreturn]] void stop();
};

/// The state that --resume goes on from, if it is given. Takes the lock of a folder that is there, where a run whose
/// successor came to nothing is put back.
std::optional<SafetensorsFile> state_of_run(const TrainOptions& options, RunLock& lock);
/// The network that is asked for, and what its checkpoints say beside its weights.
models::SegmenterSpec spec_of(const TrainOptions& options);
Metadata metadata_of(const TrainOptions& options);
/// What a run begun now is relative to; its state is that of the start.
RunRecord record_of(const TrainOptions& options, const Machine& machine, const Dataset& dataset);
/// Throws Error on what would make training senseless; says the data set's warnings.
void check_sense(const TrainOptions& options, const Dataset& dataset, const models::Segmenter& model);
/// --class-weights on a device, f32 [C]; undefined for none.
Tensor class_weights_of(const TrainOptions& options, const Dataset& dataset, Device device);
/// Throws Error naming every difference that keeps a run from being resumed, or with --force only warns.
void check_same(const RunRecord& then, const RunRecord& now, bool force);

/// Whether --max-steps are done.
bool out_of_steps(const TrainOptions& options, const RunState& state);
/// Whether --patience ends the phase under way, that many epochs beyond its best; says so.
bool ended_by_patience(Run& run);
/// Throws Error if the phase has come to its end without a committed step.
void require_learnt(const Phase& phase, const Optimizer& optimizer);
/// Books a step whose result is there. Throws Error after too many in a row that were not finite.
void book_step(Run& run, const StepResult& result);
/// Evaluates the weights that are saved and chosen (--ema: the average) before the eyes of `reviewer`. Throws
/// Interrupted, the state saved, after a stop signal.
Evaluation validate(Run& run, const PhaseLoss& loss, Loader& images, Learner& learner, Reviewer& reviewer);
/// The figures of the epoch under way after its validation, which `reviewer` saw, all but lr, seconds and rate. Throws
/// Error if the images have no figure to choose the best by.
EpochFigures figures_of(const Run& run, const Phase& phase, const Evaluation& val,
                        std::shared_ptr<const Reviewer> reviewer);

ScheduleSpec schedule_of(const TrainOptions& options, const Phase& phase);
/// Of the epoch under way: whether the encoder learns.
void thaw_encoder(Run& run);
void begin_next_epoch(RunState& state);
void begin_next_phase(RunState& state);
/// Of the phase before the one under way.
const Best& best_before(const RunState& state);

/// Device, network and class weights.
void say_start(const TrainOptions& options, const Machine& machine, const models::Segmenter& model,
               const Tensor& class_weights);
void say_resumed(const std::filesystem::path& file, const RunState& state);
/// The phase's loss and what it begins with.
void say_phase(const Run& run, const Phase& phase);

/// The line of an epoch: at most 100 columns; with --verbose a line of its classes. After the run's first epoch also,
/// where that is worth a word, the share of it that the network `waited` for images.
void say_epoch(const Run& run, const Phase& phase, const EpochFigures& figures, bool best, double waited);
/// The best, and the command that evaluates it.
void say_end(const Run& run, const Dataset& dataset);

}  // namespace unet
