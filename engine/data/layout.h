// From a folder to lists of pairs; see dataset.h for the layouts and splits. Opens no image.
#pragma once

#include <array>
#include <vector>

#include "engine/data/dataset.h"

namespace unet {

struct Layout {
  std::string text;  ///< which it is, for a person
  bool trimaps = false;
  bool by_hash = false;                        ///< a hash says a split
  std::array<std::vector<Sample>, 5> lists{};  ///< by Split; trainval and all hold theirs in the order of the lists
  std::array<std::string, 3> fills{};          ///< by train, val, test: what to do where it is empty
  std::vector<std::string> notes{};            ///< lines for the start of a run: how it is split, what is not used
};

/// Pictures of a group (see grouping.h) stand in one split. Throws Error as Dataset says.
Layout find_layout(const DatasetOptions& options);

}  // namespace unet
