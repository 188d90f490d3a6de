// What a training run leaves in its output folder: a checkpoint an epoch, the best ones, metrics.csv, steps.csv,
// run.json and curves.svg. Every file is whole or absent; an error names the file.
#pragma once

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "apps/options.h"
#include "engine/train/checkpoint.h"
#include "engine/train/csv.h"
#include "engine/train/optimizer.h"

namespace unet {

/// One row of metrics.csv.
struct EpochFigures {
  int phase = 1;
  std::int64_t epoch = 0;  // within the phase, from 1
  double train_loss = 0, val_loss = 0, val_cross_entropy = 0, val_dice = 0, val_dice_dataset = 0, val_iou = 0;
  double lr = 0;  // of the epoch's last step
  double seconds = 0, images_per_second = 0;
};

/// The best epoch so far, of a phase or of all.
struct Best {
  double dice = -1;
  int phase = 0;
  std::int64_t epoch = 0;
};

class RunFolder {
 public:
  /// Makes the folder and its first files. Throws Error if it holds a run and `overwrite` is not given, or cannot be
  /// written; this happens before the first step.
  RunFolder(const TrainOptions& options, const nlohmann::json& data_summary);

  /// A row of steps.csv.
  void add_step(int phase, std::int64_t epoch, std::int64_t step, const StepResult& result, double lr);
  /// Saves the epoch's checkpoint, the best files it improves, its row and the curves; removes old epoch files. Returns
  /// the checkpoint's file name.
  std::string add_epoch(const EpochFigures& figures, const Parameters& parameters, const Metadata& metadata);

  std::filesystem::path best_file(int phase) const;
  std::filesystem::path best_file() const { return folder_ / "best.safetensors"; }
  const std::optional<Best>& best_of_phase(int phase) const {
    return best_of_phase_[static_cast<std::size_t>(phase - 1)];
  }
  const std::optional<Best>& best() const { return best_; }

 private:
  void refuse_or_clear(bool overwrite);

  std::filesystem::path folder_;
  std::string timestamp_;
  std::int64_t keep_;
  std::optional<Best> best_;
  std::array<std::optional<Best>, 2> best_of_phase_;
  std::optional<CsvFile> metrics_, steps_;
};

}  // namespace unet
