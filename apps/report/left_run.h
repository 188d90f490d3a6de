// What a finished or stopped run has left in its folder, read back for a comparison.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/options.h"
#include "apps/report/review.h"
#include "engine/io/csv.h"

namespace unet {

struct LeftRun {
  std::filesystem::path folder;
  std::string title;                           // the folder's name, told apart from the others'
  std::map<std::string, std::string> options;  // of run.json
  std::vector<std::string> classes;
  std::string data_hash;
  std::map<std::string, std::string> data;  // what run.json says of them besides, as texts
  CsvTable metrics;
  std::size_t best = 0;          // row of the best epoch, by --best-by
  std::optional<Review> review;  // of that epoch

  std::string option(const std::string& name) const;  // "" where run.json does not have it
};

/// Throws Error naming the file that is missing or damaged, or that the run has no epoch yet.
LeftRun left_run(const std::filesystem::path& folder);

/// What makes the figures of two runs figures of different things: data, what their masks mean, what is scored. A line
/// each; empty if they may be compared.
std::vector<std::string> differences_of_data(const LeftRun& a, const LeftRun& b);

/// Where the run's data are, and what eval_unet would be told of them.
DataOptions data_of(const LeftRun& run);

/// Images that both reviews name, with both Dice, in the order of the first.
struct PairedDice {
  std::string name;
  std::size_t place = 0;  // in the list of the first
  double first = 0, second = 0;
};
std::vector<PairedDice> paired(const Review& first, const Review& second);

}  // namespace unet
