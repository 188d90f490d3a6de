// What the page of a run tells that no epoch changes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "apps/options.h"
#include "engine/data/dataset.h"
#include "models/segmenter.h"

namespace unet {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

struct RunFacts {
  std::string title;  // the folder's name
  std::string network;
  std::vector<std::string> classes;
  Background background = Background::class0;
  std::string best_by;
  Recipe recipe;
  std::string data;  // lines, as the start of the run says them
  std::vector<std::string> warnings;
  NamedTexts options;  // those that differ from their defaults: "16 (default 8)"
  NamedTexts machine;
  std::string evaluate, predict;  // commands
};

/// asked: the options as they were given; in_force: with what was left to the program decided. Without --report-paths
/// no text holds a path from the root.
RunFacts facts_of(const TrainOptions& asked, const TrainOptions& in_force, const Machine& machine,
                  const models::Segmenter& model, const Dataset& dataset);

/// Paths of the data and of the run's own, and any other that begins at the root, cut to their last part.
std::string without_places(std::string text, const DataOptions& data, const std::string& output);

}  // namespace unet
