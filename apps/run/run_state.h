// Where a training run stands: every counter and figure that the rest of the run depends on. Together with the weights
// and moments beside it in last.safetensors, a resumed run goes on as if it had never stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "apps/run/recipe.h"
#include "engine/io/safetensors.h"
#include "engine/ops/conv_plans.h"
#include "engine/train/schedule.h"

namespace unet {

/// The best epoch so far, of a phase or of all.
struct Best {
  double score = -1;  // the figure of --best-by
  double dice = -1;
  int phase = 0;
  std::int64_t epoch = 0;
  std::uint64_t weights = 0;  // what save_model said of them; 0: not known
};

inline constexpr int kMostDroppedSteps = 10;  // in a row, before a run is given up

struct RunState {
  std::string started;          // UTC; stands in file names
  int phase = 1;                // the one under way; one more than the last when the run is over
  std::int64_t epoch = 1;       // of the phase; one more than its last when it is over
  std::int64_t batch = 0;       // batches of that epoch that are done
  std::int64_t step = 0;        // steps of the phase that are done
  std::int64_t all_steps = 0;   // of the run
  std::int64_t all_epochs = 0;  // epochs of the run before the one under way
  int dropped = 0;              // steps in a row that were not finite
  double loss_sum = 0;          // over the images of the epoch so far
  std::int64_t images = 0;      // of the epoch so far
  PlateauState plateau;
  std::optional<Best> best;
  std::vector<std::optional<Best>> best_of_phase{std::nullopt};  // of each phase that has been begun
  std::uint64_t metrics_rows = 0, steps_rows = 0;                // of the CSV files
};

/// What last.safetensors says about itself: the state, and what the run was started with.
struct RunRecord {
  RunState state;
  std::map<std::string, std::string> options;  // resolved() of TrainOptions
  std::string data_hash;
  std::string machine;            // instruction set, threads and libraries that the promise of sameness is relative to
  std::vector<PlanChoice> plans;  // of the convolutions so far
};

/// The metadata entry of a record, and back. Reading throws Error naming the file if there is none or it is damaged:
/// every field has its form and bounds, and they fit each other.
inline constexpr const char* kRunRecordKey = "run";
std::string to_text(const RunRecord& record);
/// The record in a text; nothing if another version wrote it. Throws Error if it is damaged.
std::optional<RunRecord> parse_record(const std::string& text);
RunRecord run_record(const SafetensorsFile& file);

/// The differences that keep `now` from going on where `then` stopped, each as a line; empty if it may. What changes
/// nothing in the result may differ (`harmless` options, by name), and epochs not yet begun may become more.
std::vector<std::string> differences(const RunRecord& then, const RunRecord& now,
                                     const std::set<std::string>& harmless);

}  // namespace unet
