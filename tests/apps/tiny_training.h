// A training run of both phases that takes a tenth of a second, and the question whether two runs ended alike.
#pragma once

#include <map>
#include <string>

#include "tests/apps/faults.h"
#include "tests/apps/small_data.h"

namespace unet::test {

/// Twelve pictures (10 to train, 2 to validate on), 3 and 2 epochs of 5 steps each.
class TinyTraining : public testing::Test {
 protected:
  TinyTraining();

  /// The command line; `more` wins over the usual options.
  Words command(const fs::path& output, const Words& more = {}) const;
  /// The folder of a run with these options that nobody disturbed.
  const fs::path& alone(const Words& more = {});
  /// Fails unless the folder holds what an undisturbed run with these options leaves: the same files, steps.csv and
  /// checkpoints byte for byte, the same counters and figures. Seconds, the time of the start and the folder differ.
  void expect_as_alone(const fs::path& output, const Words& more = {});

  Folder folder_{fast_folder()};
  fs::path data_ = folder_ / "pets";

 private:
  std::map<std::string, fs::path> alone_;
};

/// What `path` says of the run, less the time of its start and what may differ between two equal runs.
std::string run_record_of(const fs::path& path);
/// The names in a run's folder, the times of the start cut out.
std::vector<std::string> run_files_of(const fs::path& folder);

}  // namespace unet::test
