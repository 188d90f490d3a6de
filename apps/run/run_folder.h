// What a training run leaves in its output folder: a checkpoint an epoch, the best ones, the state to resume from,
// metrics.csv, steps.csv, run.json, plans.json, curves.svg and report.html with what it keeps. Every file is whole or
// absent; an error names the file.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "apps/options.h"
#include "apps/report/event_log.h"
#include "apps/report/run_report.h"
#include "apps/run/replaced_run.h"
#include "apps/run/run_lock.h"
#include "apps/run/run_state.h"
#include "engine/data/dataset.h"
#include "engine/io/csv.h"
#include "engine/train/snapshot.h"
#include "engine/train/step.h"

namespace unet {

/// One row of metrics.csv.
struct EpochFigures {
  EpochFigures(int classes, Background background) : val(classes, background) {}

  int phase = 1;
  std::int64_t epoch = 0;  // within the phase, from 1
  double train_loss = 0, val_loss = 0, val_cross_entropy = 0;
  double val_dice = 0;  // stands in file names
  double score = 0;     // what chooses the best
  SegmentationMetrics val;
  double lr = 0;  // of the epoch's last step
  double seconds = 0, images_per_second = 0;
  std::shared_ptr<const Reviewer> reviewer;  // what the validation saw, or nothing
};

/// Of equal epochs the first stays the best.
bool is_better(double score, const std::optional<Best>& best);

/// "epoch 7, val dice 0.9", and the figure that chose it if that is another.
std::string text_of(const Best& best, BestBy best_by);

class RunFolder {
 public:
  /// A new run: makes the folder and its first files. Throws Error if it holds a run and --overwrite is not given, or
  /// cannot be written; this happens before the first step. Puts the time into state.started;
  /// takes the lock once the folder is there. A run that is replaced comes back where this one ends without a committed
  /// step that is saved.
  static RunFolder create(const TrainOptions& options, const Machine& machine, const Dataset& dataset, RunState& state,
                          RunLock& lock);
  /// Goes on: rows of the CSV files beyond the state's are cut off. Throws Error if a file does not hold the state's
  /// rows; with --force it is set aside, and the state counts those of a new one.
  static RunFolder resume(const std::filesystem::path& folder, const TrainOptions& options, RunState& state);

  /// From now on there is a page of the run, written anew after each epoch.
  void report_on(RunFacts facts, Device device) { report_.emplace(folder_, std::move(facts), device); }
  /// The page says that the run has come to its end; one that says so already stays as it is.
  void finish_report(const RunState& state);

  /// A row of steps.csv.
  void add_step(RunState& state, const StepResult& result);
  /// Where another program has changed steps.csv, it is written anew.
  void mend_steps() { mend(*steps_); }

  // The next two may be another thread's than add_step(), mend_steps() and all that the folder is asked for besides.
  /// Writes the epoch's checkpoint, which the best files that it improves are from then on; adds its row, redraws the
  /// curves and the page, removes old epoch files. `state` gets the best epochs and the row.
  void add_epoch(RunState& state, const EpochFigures& figures, Snapshot& snapshot, const Metadata& metadata);
  /// Writes last.safetensors; the one before it stays as last.prev.safetensors. Rows and files that it counts on are on
  /// the disk before.
  void save_state(const RunRecord& record, Snapshot& snapshot, const Metadata& metadata);

  /// Loads the best epoch's checkpoint. Throws Error if its weights are not those that the run saved.
  void load_best(const Best& best, Parameters& parameters) const;
  /// Whether the run that --overwrite found would still come back.
  bool replaces() const { return replaced_ != nullptr; }

  std::filesystem::path best_file() const { return folder_ / "best.safetensors"; }

 private:
  RunFolder(std::filesystem::path folder, std::int64_t keep) : folder_(std::move(folder)), keep_(keep) {}
  void refuse_or_replace(bool overwrite);
  void discard_replaced();
  static void mend(CsvFile& log);

  std::unique_ptr<ReplacedRun> replaced_;  // the last to go: the files below are closed by then
  std::filesystem::path folder_;
  std::int64_t keep_;
  std::optional<CsvFile> metrics_, steps_;
  std::optional<EventLog> events_;  // with --tensorboard
  std::optional<RunReport> report_;
  std::vector<PlanChoice> plans_;  // as plans.json has them
};

/// Throws Error if the output folder of a new run could not be made or written; warns if it holds a run, which would be
/// refused. Makes and changes nothing.
void check_output(const TrainOptions& options);

/// The state to go on from: `auto` takes last.safetensors of the output folder, or last.prev.safetensors with a warning
/// on stderr if the former is damaged or absent; a file is taken as it is. Throws Error if there is none.
std::filesystem::path state_to_resume(const std::string& resume, const std::string& output);

}  // namespace unet
