// What the training loop stands on: a run's pieces, its books, and what it says. The loop is apps/train_unet.cpp.
#pragma once

#include <chrono>

#include "apps/run/evaluation.h"
#include "apps/run/run_folder.h"
#include "apps/run/training_step.h"

namespace unet {

/// The pieces of a run that every part of the loop works on.
struct Run {
  const TrainOptions& options;
  models::Segmenter& model;
  const Metadata& metadata;
  RunFolder& folder;
  RunRecord& record;  // record.state is where the run stands
  std::chrono::steady_clock::time_point saved = std::chrono::steady_clock::now();

  void save(const Adam& optimizer);
  /// After a stop signal. Throws Interrupted.
  [[noreturn]] void save_and_stop(const Adam& optimizer);
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
/// Throws Error naming every difference that keeps a run from being resumed, or with --force only warns.
void check_same(const RunRecord& then, const RunRecord& now, bool force);

/// Whether --max-steps are done.
bool out_of_steps(const TrainOptions& options, const RunState& state);
/// Books a step whose result is there. Throws Error after too many in a row that were not finite.
void book_step(Run& run, const StepResult& result);
/// The figures of the epoch under way after its validation, all but lr, seconds and rate. Throws Error if the images
/// have no figure to choose the best by.
EpochFigures figures_of(const Run& run, const Phase& phase, const Evaluation& val);

ScheduleSpec schedule_of(const TrainOptions& options, const Phase& phase);
/// Of the epoch under way: whether the encoder learns.
void thaw_encoder(Run& run);
void begin_next_epoch(RunState& state);
void begin_next_phase(RunState& state);
/// Of the phase before the one under way.
const Best& best_before(const RunState& state);

/// Device and network.
void say_start(const TrainOptions& options, const Machine& machine, const models::Segmenter& model);
void say_resumed(const std::filesystem::path& file, const RunState& state);
/// The phase's loss and what it begins with.
void say_phase(const Run& run, const Phase& phase);

/// The line of an epoch: at most 100 columns.
void say_epoch(const EpochFigures& figures, std::int64_t epochs, bool best);
/// Where that is worth a word: the share of an epoch that the network waited for images.
void say_waited(double share);
/// A line with each class of the validation.
void say_classes(const TrainOptions& options, const EpochFigures& figures);
/// The best, and the command that evaluates it.
void say_end(const Run& run, const Dataset& dataset);

}  // namespace unet
