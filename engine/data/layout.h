// From a folder to lists of pairs; see dataset.h for the two layouts. Opens no image.
#pragma once

#include <array>
#include <vector>

#include "engine/data/dataset.h"

namespace unet {

struct Layout {
  bool oxford = false;
  bool by_hash = false;                      ///< no list says the splits
  std::array<std::vector<Sample>, 5> lists;  ///< by Split; trainval and all hold theirs in the order of the lists
  std::vector<std::string> notes;            ///< lines for the start of a run: how it is split, what is not used
};

/// Pictures of a group (see grouping.h) stand in one split. Throws Error as Dataset says.
Layout find_layout(const std::filesystem::path& folder, const std::string& group_pattern);

}  // namespace unet
