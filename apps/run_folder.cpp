#include "apps/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "apps/figures.h"
#include "apps/screen.h"
#include "apps/version.h"
#include "engine/core/error.h"
#include "engine/core/plan_file.h"
#include "engine/data/image.h"
#include "engine/train/curves_svg.h"
#include "engine/train/durable_file.h"
#include "engine/train/run_files.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

std::vector<std::string> metric_columns(std::int64_t classes) {
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
  for (std::string& name : class_columns(static_cast<int>(classes))) out.push_back(std::move(name));
  return out;
}
const std::vector<std::string> kStepColumns{"phase", "epoch", "step", "loss", "lr", "grad_norm"};
// The states first: a run whose clearing was cut short must not look like one that can be resumed.
constexpr const char* kFixedFiles[] = {"last.safetensors",
                                       "last.prev.safetensors",
                                       "last.next.safetensors",
                                       "run.json",
                                       "metrics.csv",
                                       "steps.csv",
                                       "curves.svg",
                                       "plans.json",
                                       "best.safetensors",
                                       "best_phase1.safetensors",
                                       "best_phase2.safetensors"};

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (file_calls().rename(from.c_str(), to.c_str()) != 0) {
    throw Error("cannot rename {} to {}: {}; look at the disk and at the rights of the folder", from.string(),
                to.string(), std::strerror(errno));
  }
}

bool holds_a_run(const std::filesystem::path& folder) {
  return std::any_of(std::begin(kFixedFiles), std::end(kFixedFiles),
                     [&](const char* name) { return std::filesystem::exists(folder / name); });
}

std::string refusal(const std::filesystem::path& folder) {
  return fmt::format(
      "the output folder {} holds a run already; choose another with --output, go on with --resume auto, or "
      "replace it with --overwrite",
      folder.string());
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

RunFolder RunFolder::create(const TrainOptions& options, const Machine& machine, const nlohmann::json& data_summary,
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
  out.refuse_or_clear(options.overwrite);

  state.started = utc_timestamp(std::time(nullptr));
  nlohmann::ordered_json run;
  run["started"] = state.started;
  run["program"] = version_text("train_unet");
  nlohmann::ordered_json words;
  for (const auto& [name, value] : options.resolved()) words[name] = value;
  run["options"] = words;
  run["device"] = {{"name", machine.text},
                   {"threads", kernels::cpu::threads()},
                   {"instruction_set", kernels::cpu::name_of(kernels::cpu::isa())}};
  run["data"] = data_summary;
  write_file_durably(out.folder_ / "run.json", run.dump(2) + "\n");
  out.steps_ = CsvFile::create(out.folder_ / "steps.csv", kStepColumns);
  out.metrics_ = CsvFile::create(out.folder_ / "metrics.csv", metric_columns(options.classes));
  return out;
}

RunFolder RunFolder::resume(const std::filesystem::path& folder, const TrainOptions& options, const RunState& state) {
  RunFolder out(folder, options.keep);
  out.steps_ = CsvFile::resume(folder / "steps.csv", kStepColumns, state.steps_rows);
  out.metrics_ = CsvFile::resume(folder / "metrics.csv", metric_columns(options.classes), state.metrics_rows);
  return out;
}

void RunFolder::refuse_or_clear(bool overwrite) const {
  if (!holds_a_run(folder_)) return;
  if (!overwrite) throw Error("{}", refusal(folder_));
  // The old run's epoch files carry its timestamp; without run.json they cannot be told from files of others and stay.
  try {
    const std::vector<std::uint8_t> bytes = read_file(folder_ / "run.json");
    const nlohmann::json old = nlohmann::json::parse(bytes.begin(), bytes.end());
    remove_old_epoch_files(folder_, old.at("started").get<std::string>(), 0, {});
  } catch (const nlohmann::json::exception&) {
  } catch (const Error&) {
  }
  for (const char* name : kFixedFiles) {
    std::error_code error;
    std::filesystem::remove(folder_ / name, error);
    if (error) throw Error("cannot remove {}: {}", (folder_ / name).string(), error.message());
  }
}

void RunFolder::add_step(RunState& state, const StepResult& result, double lr) {
  steps_->row({state.phase, state.epoch, state.step, result.loss, lr, result.grad_norm});
  ++state.steps_rows;
}

bool RunFolder::add_epoch(RunState& state, const EpochFigures& f, const Parameters& parameters,
                          const Metadata& metadata) {
  Metadata all = metadata;
  all["phase"] = std::to_string(f.phase);
  all["epoch"] = std::to_string(f.epoch);
  all["val_dice"] = fmt::format("{:.6f}", f.val_dice);
  save_model(folder_ / epoch_file_name(state.started, f.phase, static_cast<int>(f.epoch), f.val_dice), parameters, all);
  const Best now{f.score, f.val_dice, f.phase, f.epoch};
  const auto beaten = [&](const std::optional<Best>& best) { return !best || f.score > best->score; };
  std::optional<Best>& of_phase = state.best_of_phase[static_cast<std::size_t>(f.phase - 1)];
  if (beaten(of_phase)) {
    save_model(best_file(f.phase), parameters, all);
    of_phase = now;
  }
  const bool best = beaten(state.best);
  if (best) {
    save_model(best_file(), parameters, all);
    state.best = now;
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
  write_file_durably(folder_ / "curves.svg",
                     curves_svg(read_csv(folder_ / "metrics.csv"), folder_.filename().string()));
  if (keep_ >= 0) remove_old_epoch_files(folder_, state.started, static_cast<std::size_t>(keep_), {});
  return best;
}

void RunFolder::save_state(const RunRecord& record, const Parameters& parameters, const Adam& optimizer,
                           const Metadata& metadata) {
  steps_->sync();  // the state counts on these rows
  metrics_->sync();
  Metadata all = metadata;
  all[kRunRecordKey] = to_text(record);
  const std::filesystem::path last = folder_ / "last.safetensors";
  const std::filesystem::path next = folder_ / "last.next.safetensors";
  save_training(next, parameters, optimizer, all);
  // Killed between these, the folder holds the previous state, whole; the rest of the run is the same from there.
  if (std::filesystem::exists(last)) rename_file(last, folder_ / "last.prev.safetensors");
  rename_file(next, last);
  sync_folder(folder_);
  // For --plans of other runs; this one resumes from its record.
  if (record.plans != plans_) {
    write_file_durably(folder_ / "plans.json", plans_text(record.plans));
    plans_ = record.plans;
  }
}

std::filesystem::path RunFolder::best_file(int phase) const {
  return folder_ / fmt::format("best_phase{}.safetensors", phase);
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
      run_record(SafetensorsFile(path));
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
