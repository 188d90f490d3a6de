// report.html in a run's folder, and what it keeps of the best epoch (best_validation.json): both whole or as before.
#pragma once

#include <filesystem>
#include <optional>

#include "apps/report/reviewer.h"
#include "apps/report/run_facts.h"
#include "apps/run/run_state.h"
#include "engine/io/csv.h"

namespace unet {

class RunReport {
 public:
  /// Takes up what an earlier process of the run has kept; warns where that is damaged. device: whose memory the page
  /// tells of.
  RunReport(std::filesystem::path folder, RunFacts facts, Device device);

  /// Keeps what was seen in the validation of the best epoch so far.
  void keep(const Reviewer& reviewer, int phase, std::int64_t epoch);
  /// The page of these rows of metrics.csv. What is kept of another epoch than the best one is left out.
  void write(const CsvTable& metrics, const RunState& state, bool finished);
  /// Whether the page that is there does.
  bool says_finished() const;

 private:
  std::filesystem::path folder_;
  RunFacts facts_;
  Device device_;
  std::optional<Review> review_;
};

}  // namespace unet
