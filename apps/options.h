// What the programs can be told on the command line (or in a TOML file). How: the tables of option_table.h.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "apps/run/class_weights.h"
#include "apps/run/machine.h"
#include "apps/run/predictor.h"
#include "apps/run/recipe.h"
#include "engine/data/class_map.h"
#include "engine/io/image.h"
#include "engine/train/metrics.h"
#include "engine/train/optimizer.h"
#include "engine/train/schedule.h"
#include "models/registry.h"

namespace unet {

/// Height and width in pixels, both >= 16.
struct ImageExtent {
  std::int64_t height = 256;
  std::int64_t width = 256;
  std::string str() const;
};

/// Where the data lie and what their masks mean.
struct DataOptions {
  std::string folder;
  std::string images, masks;  // in the folder; empty: as its layout has them
  std::string mask_suffix;
  std::string train_list, val_list, test_list;
  bool follow_links = false;
  std::string group_by;         // empty: each picture by itself
  std::string class_map;        // file, read into:
  std::optional<ClassMap> map;  // nothing: as MaskKind says
  std::int64_t binarize = 0;    // 0: as stored
  std::optional<std::int64_t> ignore_index;
};

inline constexpr std::int64_t kAllEpochs = std::numeric_limits<std::int64_t>::max();

struct TrainOptions {
  std::string preset = "default";
  std::string preset_told;  // what it came to, in a line
  DataOptions data;
  std::string write_class_map;  // propose a class map into this file, and end
  std::string model = models::SegmenterSpec().model;
  std::int64_t base_channels = 64;
  bool bilinear = false;
  std::int64_t classes = 2;
  std::int64_t epochs = 30;
  std::optional<std::int64_t> phase2_epochs;  // not given: max(1, epochs / 3)
  std::int64_t batch_size = 16;
  std::int64_t accumulate = 1;
  std::optional<double> lr;         // not given: 1e-3, with SGD 1e-2
  std::optional<double> phase2_lr;  // not given: a tenth of lr
  nn::Loss phase1_loss = nn::parse_loss("cross_entropy");
  nn::Loss phase2_loss = nn::parse_loss("dice");
  ClassWeights class_weights;
  Recipe phases;  // instead of the options of the two phases, if there are any
  OptimizerKind optimizer = OptimizerKind::adam;
  double momentum = 0.9;  // of SGD
  bool nesterov = false;
  double weight_decay = 0;
  bool decay_all = false;
  ScheduleKind schedule = ScheduleKind::cosine;
  std::int64_t warmup = 0;    // steps
  double ema = 0;             // decay of the average of the weights; 0: off
  std::int64_t patience = 0;  // epochs; 0: off
  double clip_norm = 0;       // 0: off
  ImageExtent image_size;     // of what the network sees: of the crops, if there are any
  std::optional<ImageExtent> crop;
  std::int64_t crops_per_image = 1;
  std::string augment = "standard";
  std::string border = "foreground";
  Exif exif = Exif::apply;
  Background background = Background::class0;
  BestBy best_by = BestBy::dice;
  MachineOptions machine;
  int workers = 2;
  std::int64_t cache_mb = 2048;
  std::uint64_t seed = 0;
  bool no_shuffle = false;
  std::string init;
  std::string encoder_weights;
  std::int64_t freeze_encoder = 0;  // epochs of the run; kAllEpochs: it never learns
  double encoder_lr_scale = 1;
  std::optional<kernels::NormalizeSpec> normalization;  // not given: that of the weights to begin with, else ImageNet's
  std::string output = "saved_models";
  std::int64_t keep = 3;  // epoch files besides the best ones; < 0: all
  bool overwrite = false;
  std::int64_t max_steps = 0;  // 0: no limit
  std::string resume;          // empty: a new run; "auto" or the state file to go on from
  bool dry_run = false;        // report what the run would take, and end
  bool force = false;          // resume in spite of differences
  double save_every = 300;     // seconds between saves of the state within an epoch
  bool tensorboard = false;
  std::string on_corrupt = "stop";
  bool report_paths = false;
  bool verbose = false;
  bool quiet = false;
};

/// The phases that the options ask for: those of --phase, or phase 1 and, unless it is skipped, phase 2.
Recipe recipe_of(const TrainOptions& options);
/// A name for each class.
std::vector<std::string> class_names(const TrainOptions& options);
/// Every option and its value in force, in the order of --help; for run.json and the record.
std::vector<std::pair<std::string, std::string>> resolved(const TrainOptions& options);
/// Those that may differ at a resume, by name.
std::set<std::string> harmless_options();

struct EvalOptions {
  std::string checkpoint;
  DataOptions data;
  std::string split = "test";
  std::optional<ImageExtent> image_size;  // not given: the checkpoint's
  std::optional<ImageExtent> tile;  // not given: the crop of a checkpoint that was trained on crops, else no tiles
  Tta tta = Tta::none;
  std::optional<Exif> exif;  // likewise
  std::int64_t batch_size = 16;
  MachineOptions machine;
  int workers = 2;
  std::string json;
  std::string per_image;
  std::string overlays;
  std::string report;
  bool report_paths = false;
  std::int64_t worst = 0;
  std::optional<kernels::NormalizeSpec> normalization;  // not given: the checkpoint's
};

struct PredictOptions {
  std::string checkpoint;
  std::vector<std::string> inputs;
  std::string output;
  std::optional<ImageExtent> image_size;  // not given: the checkpoint's
  std::optional<ImageExtent> tile;  // not given: the crop of a checkpoint that was trained on crops, else no tiles
  Tta tta = Tta::none;
  std::optional<Exif> exif;         // likewise
  std::optional<double> threshold;  // not given: arg-max
  bool overlay = true;
  bool probabilities = false;
  MachineOptions machine;
  std::optional<kernels::NormalizeSpec> normalization;  // not given: the checkpoint's
};

struct CompareOptions {
  std::vector<std::string> runs;  // folders, two at least
  std::string output;
  std::string data;  // where the data lie now; empty: where the runs found them
  bool report_paths = false;
  MachineOptions machine;
};

/// Fill the options from the command line. A value means: leave the program with this exit code (0 after --help and
/// --version, 2 for wrong use, both already printed).
std::optional<int> parse(int argc, char** argv, TrainOptions& options, const models::Registry& registry);
std::optional<int> parse(int argc, char** argv, EvalOptions& options);
std::optional<int> parse(int argc, char** argv, PredictOptions& options);
std::optional<int> parse(int argc, char** argv, CompareOptions& options);

}  // namespace unet
