#include "apps/run_folder.h"

#include <unistd.h>

#include <ctime>

#include "apps/version.h"
#include "engine/core/error.h"
#include "engine/data/image.h"
#include "engine/train/curves_svg.h"
#include "engine/train/durable_file.h"
#include "engine/train/run_files.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

const std::vector<std::string> kMetricColumns{
    "phase",   "epoch", "train_loss", "val_loss",         "val_cross_entropy", "val_dice", "val_dice_dataset",
    "val_iou", "lr",    "seconds",    "images_per_second"};
const std::vector<std::string> kStepColumns{"phase", "epoch", "step", "loss", "lr", "grad_norm"};
constexpr const char* kFixedFiles[] = {"run.json",
                                       "metrics.csv",
                                       "steps.csv",
                                       "curves.svg",
                                       "best.safetensors",
                                       "best_phase1.safetensors",
                                       "best_phase2.safetensors"};

}  // namespace

RunFolder::RunFolder(const TrainOptions& options, const nlohmann::json& data_summary)
    : folder_(options.output), timestamp_(utc_timestamp(std::time(nullptr))), keep_(options.keep) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error || !std::filesystem::is_directory(folder_)) {
    throw Error("cannot make the output folder {}: {}; choose another with --output", folder_.string(),
                error ? error.message() : "it is not a folder");
  }
  if (::access(folder_.c_str(), W_OK | X_OK) != 0) {
    throw Error("the output folder {} is not writable; choose another with --output", folder_.string());
  }
  refuse_or_clear(options.overwrite);

  nlohmann::ordered_json run;
  run["started"] = timestamp_;
  run["program"] = version_text("train_unet");
  nlohmann::ordered_json words;
  for (const auto& [name, value] : options.resolved()) words[name] = value;
  run["options"] = words;
  run["device"] = {{"name", "cpu"},
                   {"threads", kernels::cpu::threads()},
                   {"instruction_set", kernels::cpu::name_of(kernels::cpu::isa())}};
  run["data"] = data_summary;
  write_file_durably(folder_ / "run.json", run.dump(2) + "\n");
  steps_ = CsvFile::create(folder_ / "steps.csv", kStepColumns);
  metrics_ = CsvFile::create(folder_ / "metrics.csv", kMetricColumns);
}

void RunFolder::refuse_or_clear(bool overwrite) {
  bool holds_a_run = false;
  for (const char* name : kFixedFiles) holds_a_run = holds_a_run || std::filesystem::exists(folder_ / name);
  if (!holds_a_run) return;
  if (!overwrite) {
    throw Error(
        "the output folder {} holds a run already; choose another with --output, or replace it with --overwrite",
        folder_.string());
  }
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

void RunFolder::add_step(int phase, std::int64_t epoch, std::int64_t step, const StepResult& result, double lr) {
  steps_->row({phase, epoch, step, result.loss, lr, result.grad_norm});
}

std::string RunFolder::add_epoch(const EpochFigures& f, const Parameters& parameters, const Metadata& metadata) {
  Metadata all = metadata;
  all["phase"] = std::to_string(f.phase);
  all["epoch"] = std::to_string(f.epoch);
  all["val_dice"] = fmt::format("{:.6f}", f.val_dice);
  const std::string name = epoch_file_name(timestamp_, f.phase, static_cast<int>(f.epoch), f.val_dice);
  save_model(folder_ / name, parameters, all);
  const Best now{f.val_dice, f.phase, f.epoch};
  std::optional<Best>& of_phase = best_of_phase_[static_cast<std::size_t>(f.phase - 1)];
  if (!of_phase || f.val_dice > of_phase->dice) {
    save_model(best_file(f.phase), parameters, all);
    of_phase = now;
  }
  if (!best_ || f.val_dice > best_->dice) {
    save_model(best_file(), parameters, all);
    best_ = now;
  }
  metrics_->row({f.phase, f.epoch, f.train_loss, f.val_loss, f.val_cross_entropy, f.val_dice, f.val_dice_dataset,
                 f.val_iou, f.lr, f.seconds, f.images_per_second});
  write_file_durably(folder_ / "curves.svg",
                     curves_svg(read_csv(folder_ / "metrics.csv"), folder_.filename().string()));
  if (keep_ >= 0) remove_old_epoch_files(folder_, timestamp_, static_cast<std::size_t>(keep_), {});
  return name;
}

std::filesystem::path RunFolder::best_file(int phase) const {
  return folder_ / fmt::format("best_phase{}.safetensors", phase);
}

}  // namespace unet
