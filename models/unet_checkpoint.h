// What a checkpoint says about the UNet in it: the architecture from the tensors' shapes alone, so files of other
// programs load too; image size and treatment of borders and EXIF from `__metadata__` where it has them.
#pragma once

#include <optional>
#include <string>

#include "engine/io/image.h"
#include "engine/train/checkpoint.h"
#include "engine/train/metrics.h"
#include "models/unet.h"

namespace unet::models {

struct UNetCheckpoint {
  UNetSpec spec;
  std::int64_t height = 256, width = 256;      // network resolution it was trained at
  std::string border = "foreground";           // what a trimap's border counted as
  Exif exif = Exif::apply;                     // whether photographs were turned upright
  Background background = Background::class0;  // whether class 0 was scored
  std::optional<std::string> group_by;         // pattern of the groups its data were split by; nothing: not told
};

/// Throws Error naming the file and the tensor if it holds no UNet. Reads shapes and metadata, no weights.
UNetCheckpoint describe_unet(const SafetensorsFile& file);

/// The metadata that describe_unet reads back.
Metadata unet_metadata(const UNetCheckpoint& checkpoint);

}  // namespace unet::models
