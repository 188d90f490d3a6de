#include "apps/run/run_folder.h"

#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <ctime>

#include "apps/report/curves_svg.h"
#include "apps/run/data_options.h"
#include "apps/run/figures.h"
#include "apps/run/run_files.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"
#include "engine/core/error.h"
#include "engine/io/durable_file.h"
#include "engine/ops/plan_file.h"
#include "engine/train/checkpoint.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

std::vector<std::string> metric_columns(const TrainOptions& options) {
  std::vector<std::string> out{"phase",
                               "epoch",
                               "train_loss",
                               "val_loss",
                               "val_cross_entropy",
                               "val_dice",
                               "val_dice_dataset",
                               "val_iou",
                               "lr",
                               "seconds",
                               "images_per_second",
                               "val_dice_nonempty",
                               "val_iou_dataset",
                               "val_pixel_accuracy"};
  for (std::string& name : class_columns(class_names(options))) out.push_back(std::move(name));
  return out;
}
const std::vector<std::string> kStepColumns{"phase", "epoch", "step", "loss", "lr", "grad_norm"};

/// Sees to it that a log holds the rows that the state counts. With `force` one that does not is set aside, and there
/// are none from then on; otherwise throws Error.
void check_log(const std::filesystem::path& path, const std::vector<std::string>& columns, std::uint64_t& rows,
               bool force) {
  try {
    CsvFile::check(path, columns, rows);
  } catch (const DamagedCsv& damage) {
    if (!force) {
      throw Error("{}: put the file back as it was, or resume with --force, which sets it aside and begins it anew",
                  damage.what());
    }
    const std::optional<std::filesystem::path> aside = set_aside(path);
    warn("train_unet: warning: {}: it is begun anew{}\n", damage.what(),
         aside ? fmt::format(", what was there is {}", aside->filename().string()) : "");
    rows = 0;
  }
}

bool holds_a_run(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder)) return false;
  const std::vector<std::string> files = files_of_run(folder);
  return std::any_of(files.begin(), files.end(),
                     [](const std::string& name) { return name_without_temporary(name) == name; });
}

std::string refusal(const std::filesystem::path& folder) {
  return fmt::format(
      "the output folder {} holds a run already; choose another with --output, go on with --resume auto, or "
      "replace it with --overwrite",
      escaped(folder.string()));
}

}  // namespace

void check_output(const TrainOptions& options) {
  std::error_code error;
  const std::filesystem::path folder = options.output;
  std::filesystem::path there = std::filesystem::absolute(folder);
  while (!std::filesystem::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  if (!std::filesystem::is_directory(there, error)) {
    throw Error("cannot make the output folder {}: {} is not a folder; choose another with --output", folder.string(),
                there.string());
  }
  if (::access(there.c_str(), W_OK | X_OK) != 0) {
    throw Error("the output folder {} could not be written: {} is not writable; choose another with --output",
                folder.string(), there.string());
  }
  if (!options.overwrite && holds_a_run(folder)) warn("train_unet: warning: {}\n", refusal(folder));
}

RunFolder RunFolder::create(const TrainOptions& options, const Machine& machine, const Dataset& dataset,
                            RunState& state, RunLock& lock) {
  RunFolder out(options.output, options.keep);
  const std::string folder = out.folder_.string();
  std::error_code error;
  std::filesystem::create_directories(out.folder_, error);
  if (error || !std::filesystem::is_directory(out.folder_)) {
    throw Error("cannot make the output folder {}: {}; choose another with --output", folder,
                error ? error.message() : "it is not a folder");
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw Error("the output folder {} is not writable; choose another with --output", folder);
  }
  lock.take(out.folder_);
  out.refuse_or_replace(options.overwrite);

  state.started = utc_timestamp(std::time(nullptr));
  nlohmann::ordered_json run;
  run["started"] = state.started;
  run["program"] = version_text("train_unet");
  nlohmann::ordered_json words;
  for (const auto& [name, value] : resolved(options)) words[name] = value;
  run["options"] = words;
  run["device"] = {{"name", machine.text},
                   {"threads", kernels::cpu::threads()},
                   {"instruction_set", kernels::cpu::name_of(kernels::cpu::isa())}};
  run["data"] = summary(dataset);
  write_file_durably(out.folder_ / "run.json", run.dump(2) + "\n");
  out.steps_ = CsvFile::create(out.folder_ / "steps.csv", kStepColumns);
  out.metrics_ = CsvFile::create(out.folder_ / "metrics.csv", metric_columns(options));
  if (options.tensorboard) out.events_.emplace(out.folder_ / event_file_name(state.started), 0);
  return out;
}

RunFolder RunFolder::resume(const std::filesystem::path& folder, const TrainOptions& options, RunState& state) {
  RunFolder out(folder, options.keep);
  const std::vector<std::string> columns = metric_columns(options);
  // Both before either is cut: a run that is refused stays as it is.
  check_log(folder / "steps.csv", kStepColumns, state.steps_rows, options.force);
  check_log(folder / "metrics.csv", columns, state.metrics_rows, options.force);
  out.steps_ = CsvFile::resume(folder / "steps.csv", kStepColumns, state.steps_rows);
  out.metrics_ = CsvFile::resume(folder / "metrics.csv", columns, state.metrics_rows);
  if (options.tensorboard) out.events_.emplace(folder / event_file_name(state.started), state.all_epochs);
  return out;
}

void RunFolder::refuse_or_replace(bool overwrite) {
  if (!holds_a_run(folder_)) return;
  if (!overwrite) throw Error(refusal(folder_));
  const std::vector<std::string> files = files_of_run(folder_);
  replaced_ = std::make_unique<ReplacedRun>(folder_);
  replaced_->set_aside(files);
  const auto is_checkpoint = [](const std::string& name) { return name.ends_with(".safetensors"); };
  if (std::none_of(files.begin(), files.end(), is_checkpoint)) discard_replaced();  // nothing was learnt in it
}

void RunFolder::discard_replaced() {
  replaced_->discard();
  replaced_.reset();
}

void RunFolder::add_step(RunState& state, const StepResult& result) {
  steps_->row({state.phase, state.epoch, state.step, result.loss, result.settings.lr, result.grad_norm});
  ++state.steps_rows;
}

void RunFolder::mend(CsvFile& log) {
  if (const std::string mended = log.mend(); !mended.empty()) warn("train_unet: warning: {}\n", mended);
}

bool is_better(double score, const std::optional<Best>& best) { return !best || score > best->score; }

void RunFolder::add_epoch(RunState& state, const EpochFigures& f, Snapshot& snapshot, const Metadata& metadata) {
  Metadata all = metadata;
  all["phase"] = std::to_string(f.phase);
  all["epoch"] = std::to_string(f.epoch);
  all["val_dice"] = fmt::format("{:.6f}", f.val_dice);
  const std::string run = run_name(metadata.at("model"), state.started);
  const std::filesystem::path file = folder_ / epoch_file_name(run, f.phase, static_cast<int>(f.epoch), f.val_dice);
  const Best now{f.score, f.val_dice, f.phase, f.epoch, snapshot.save_model(file, all)};
  // A second name for the same bytes, or the same bytes once more where the file system has no hard links.
  const auto name_too = [&](const std::filesystem::path& name) {
    if (!link_durably(file, name)) snapshot.save_model(name, all);
  };
  if (std::optional<Best>& of_phase = state.best_of_phase.at(static_cast<std::size_t>(f.phase - 1));
      is_better(f.score, of_phase)) {
    name_too(folder_ / best_file_name(f.phase));
    of_phase = now;
  }
  if (is_better(f.score, state.best)) {
    name_too(best_file());
    state.best = now;
    if (report_ && f.reviewer) report_->keep(*f.reviewer, f.phase, f.epoch);
  }
  std::vector<CsvCell> row{f.phase,
                           f.epoch,
                           f.train_loss,
                           f.val_loss,
                           f.val_cross_entropy,
                           f.val_dice,
                           cell(f.val.dice_dataset()),
                           cell(f.val.iou()),
                           f.lr,
                           f.seconds,
                           f.images_per_second,
                           cell(f.val.dice_nonempty()),
                           cell(f.val.iou_dataset()),
                           cell(f.val.pixel_accuracy())};
  for (CsvCell& of_class : class_cells(f.val)) row.push_back(std::move(of_class));
  metrics_->row(row);
  ++state.metrics_rows;
  const CsvTable metrics = metrics_->table();
  if (events_) events_->add(state.all_epochs, summary_of_last(metrics, f.reviewer.get()));
  write_file_durably(folder_ / "curves.svg", curves_svg(metrics, folder_.filename().string()));
  if (report_) report_->write(metrics, state, false);
  if (keep_ >= 0) remove_old_epoch_files(folder_, run, static_cast<std::size_t>(keep_), {});
}

void RunFolder::finish_report(const RunState& state) {
  if (report_ && !report_->says_finished()) report_->write(metrics_->table(), state, true);
}

void RunFolder::save_state(const RunRecord& record, Snapshot& snapshot, const Metadata& metadata) {
  mend(*metrics_);
  for (CsvFile* log : {&*steps_, &*metrics_}) log->sync();  // the state counts on their rows
  Metadata all = metadata;
  all[kRunRecordKey] = to_text(record);
  const std::filesystem::path last = folder_ / "last.safetensors";
  const std::filesystem::path next = folder_ / "last.next.safetensors";
  snapshot.save_training(next, all);
  // Killed between these, the folder holds the previous state, whole; the rest of the run is the same from there.
  if (std::filesystem::exists(last)) rename_file(last, folder_ / "last.prev.safetensors");
  rename_file(next, last);
  sync_folder(folder_);
  // For --plans of other runs; this one resumes from its record.
  if (record.plans != plans_) {
    write_file_durably(folder_ / "plans.json", plans_text(record.plans));
    plans_ = record.plans;
  }
  if (replaced_ && snapshot.steps() > 0) discard_replaced();
}

std::string text_of(const Best& best, BestBy best_by) {
  const std::string other = best_by == BestBy::dice ? "" : fmt::format(", {} {:.4f}", name_of(best_by), best.score);
  return fmt::format("epoch {}, val dice {:.4f}{}", best.epoch, best.dice, other);
}

void RunFolder::load_best(const Best& best, Parameters& parameters) const {
  const std::filesystem::path path = folder_ / best_file_name(best.phase);
  const std::uint64_t weights = load_model(SafetensorsFile(path), parameters);
  if (best.weights == 0 || weights == best.weights) return;
  throw Error(
      "{}: is not the file that this run saved after epoch {} of phase {}: its weights are others. Put that file back "
      "and go on with --resume auto, or begin a run of its own from these weights with --init",
      path.string(), best.epoch, best.phase);
}

std::filesystem::path state_to_resume(const std::string& resume, const std::string& output) {
  if (resume != "auto") return std::filesystem::absolute(resume);
  const std::filesystem::path folder(output);
  std::string fault;
  bool found_one = false;
  for (const char* name : {"last.safetensors", "last.prev.safetensors"}) {
    const std::filesystem::path path = folder / name;
    if (!std::filesystem::exists(path)) {
      fault += fmt::format("{}{} is not there", fault.empty() ? "" : "; ", path.string());
      continue;
    }
    try {
      const SafetensorsFile file(path);
      run_record(file);
      verify_checksums(file);
      if (!fault.empty()) warn("train_unet: warning: {}; going on from {}\n", fault, path.string());
      return path;
    } catch (const Error& error) {
      found_one = true;
      fault += fmt::format("{}{}", fault.empty() ? "" : "; ", error.what());
    }
  }
  const char* remedy = found_one ? "no state can be resumed; --overwrite begins anew"
                       : std::filesystem::exists(folder / "run.json") ? "the run ended before its first save; begin it "
                                                                        "anew with --overwrite instead of --resume"
                                                                      : "leave --resume out to start a run";
  throw Error("nothing to resume in {}: {}; {}", output, fault, remedy);
}

}  // namespace unet
