// From a program's options to a data set and its loaders.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "apps/options.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "models/description.h"

namespace unet {

DatasetOptions dataset_options(const TrainOptions& options);
/// With the checkpoint's class map or threshold, unless the options have one.
Dataset open_dataset(const EvalOptions& options, const models::Description& checkpoint);

/// The files and folders that are read of a data set. Throws Error as recognise_layout does.
std::vector<std::filesystem::path> inputs_of_data(const DataOptions& options);

/// As words of a shell's command, for eval_unet to find the same pairs.
std::string data_words(const DataOptions& options);

/// Writes a class map that the masks suggest, for a person to complete. Throws Error if the file is there.
void write_class_map(const TrainOptions& options);

/// Shuffled (unless --no-shuffle) and augmented.
LoaderOptions training_loader(const TrainOptions& options);
/// In list order, as they are; with tiles at their own sizes, else at the network's.
LoaderOptions evaluation_loader(const TrainOptions& options);
LoaderOptions evaluation_loader(const EvalOptions& options, const models::Description& checkpoint);

/// The size of the tiles that are made of images, where any are: that asked for, or the crop that the network was
/// trained on, unless a size to shrink them to is asked for.
template <class Options>
std::optional<ImageExtent> tile_of(const Options& options, const models::Description& checkpoint) {
  if (options.tile) return options.tile;
  if (!checkpoint.crops || options.image_size) return std::nullopt;
  return ImageExtent{checkpoint.height, checkpoint.width};
}

/// Dataset::hash() as sixteen hexadecimal digits.
std::string hash_text(const Dataset& dataset);

/// For run.json: sizes of the splits, kind and contents of the masks, hash, warnings, what is skipped.
nlohmann::json summary(const Dataset& dataset);

}  // namespace unet
