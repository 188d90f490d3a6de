// A class map to begin with, from what the masks of a data set hold.
#pragma once

#include <string>

#include "engine/data/dataset.h"

namespace unet {

struct ClassMapProposal {
  ClassMap map;
  std::string report;  ///< a line an entry: value, class, share of the pixels
};

/// An entry for each value or colour of all masks: 0 or black (of two values the lower) as background, 255 beside two
/// others as ignored, the rest as classes, values by size and colours by pixels. Throws Error as Dataset does, and
/// where there are too many values for masks of classes.
ClassMapProposal propose_class_map(DatasetOptions options);

}  // namespace unet
