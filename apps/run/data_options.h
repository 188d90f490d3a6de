// From a program's options to a data set and its loaders.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "apps/options.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "models/description.h"

namespace unet {

Dataset open_dataset(const TrainOptions& options);
Dataset open_dataset(const EvalOptions& options, const models::Description& checkpoint);

/// Shuffled (unless --no-shuffle) and augmented.
LoaderOptions training_loader(const TrainOptions& options);
/// In list order, as they are.
LoaderOptions evaluation_loader(const TrainOptions& options);
LoaderOptions evaluation_loader(const EvalOptions& options, const models::Description& checkpoint);

/// Dataset::hash() as sixteen hexadecimal digits.
std::string hash_text(const Dataset& dataset);

/// For run.json: sizes of the splits, kind and contents of the masks, hash, warnings, what is skipped.
nlohmann::json summary(const Dataset& dataset);

}  // namespace unet
