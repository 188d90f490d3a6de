// What a person should know of masks and photographs before a run.
#pragma once

#include <vector>

#include "engine/data/mask_kind.h"

namespace unet {

/// On pairs of which none is broken. Notes are counts for the report, warnings what is odd; each names the first file
/// that it speaks of.
Remarks remarks_on(const std::vector<Finding>& findings, const DatasetOptions& options, const MaskMeaning& meaning);

}  // namespace unet
