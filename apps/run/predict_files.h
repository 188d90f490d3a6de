// Which pictures predict_unet is to work on, and where their results go.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace unet {

struct PredictFile {
  std::filesystem::path input;
  std::filesystem::path base;  ///< of the outputs: `<base>_mask.png`, ...
};

struct PredictFiles {
  std::vector<PredictFile> files;   ///< in the order of the inputs, folders sorted
  std::vector<std::string> unread;  ///< folders that cannot be read, each with the reason
  std::int64_t made_here = 0;       ///< pictures that these programs made: left out
  std::int64_t others = 0;          ///< files that are no pictures by their ending: left out
  std::filesystem::path first_other;
};

/// The images named, and those in the folders named and in their sub-folders, which `output` will have too. Hidden ones
/// and links to folders are left out. Throws Error where an input is not there, holds no picture, or where two have the
/// same outputs.
PredictFiles find_pictures(const std::vector<std::string>& inputs, const std::filesystem::path& output);

}  // namespace unet
