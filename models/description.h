// What a checkpoint says about the network in it: which one, from the metadata entry `model` or else from the tensors'
// names; its spec from their shapes alone, so files of other programs load too; image size and treatment of borders and
// EXIF from `__metadata__` where it has them; normalisation, too, or that of its kind of network.
#pragma once

#include <optional>
#include <string>

#include "engine/data/class_map.h"
#include "engine/io/image.h"
#include "engine/train/checkpoint.h"
#include "engine/train/metrics.h"
#include "models/registry.h"

namespace unet::models {

struct Description {
  SegmenterSpec spec;                          // of a file with one output: two classes, as load_weights makes them
  bool says_normalization = true;              // else spec's is a guess
  std::int64_t height = 256, width = 256;      // network resolution it was trained at
  bool crops = false;                          // trained on crops of that size, at the images' own scale
  std::string border = "foreground";           // what a trimap's border counted as
  Exif exif = Exif::apply;                     // whether photographs were turned upright
  Background background = Background::class0;  // whether class 0 was scored
  std::optional<std::string> group_by;         // pattern of the groups its data were split by; nothing: not told
  std::optional<ClassMap> class_map;           // what masks' values meant, and names of the classes
  int binarize = 0;                            // masks were white from this gray on; 0: as stored
};

/// Throws Error naming the file and the tensor if it holds no network of the registry. Reads shapes and metadata, no
/// weights.
Description describe(const Registry& registry, const TensorFile& file);

/// The metadata that describe() reads back.
Metadata metadata_of(const Description& description);

}  // namespace unet::models
