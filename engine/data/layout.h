// From a folder to lists of pairs; see dataset.h for the two layouts. Opens no image.
#pragma once

#include <array>
#include <vector>

#include "engine/data/dataset.h"

namespace unet {

struct Layout {
  bool oxford = false;
  std::array<std::vector<Sample>, 4> lists;  ///< by Split; trainval holds train and val in the order of the lists
};

/// Throws Error as Dataset says.
Layout find_layout(const std::filesystem::path& folder);

}  // namespace unet
