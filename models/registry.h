// Every network that the programs can build, a row each: all that they know of it by name. A new network is a file of
// its own and a row; a program is handed the table, so that a test can hand it a longer one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/segmenter.h"
#include "models/weights.h"

namespace unet::models {

struct ModelRow {
  const char* name;  // --model, the metadata entry `model`, the begin of a checkpoint's file name
  /// Parameters are drawn from the seed as PyTorch's defaults would be. Throws Error for a spec that makes no network.
  std::unique_ptr<Segmenter> (*make)(const SegmenterSpec& spec, std::uint64_t seed, const Placement& placement);
  /// The network whose tensors a file holds, from their names and shapes; nothing if they are another's. Throws Error
  /// naming the file and the tensor if they are this one's and do not fit.
  std::optional<SegmenterSpec> (*recognize)(const WeightsFile& weights);
  /// Bytes that a forward pass without gradients holds at its peak, within a factor of two and never too many: N images
  /// [height,width], activations of `dtype`. (A double: sizes from a file may be beyond any integer.)
  double (*inference_bytes)(const SegmenterSpec& spec, std::int64_t N, std::int64_t height, std::int64_t width,
                            Dtype dtype);
  const char* foreign_normalization;  // which files of other programs were trained with
};

using Registry = std::vector<ModelRow>;

/// The networks of this project.
const Registry& registry();

/// Names in the order of the table.
std::vector<std::string> names_of(const Registry& registry);
std::string names_text(const Registry& registry);
/// Throws Error naming those that are there.
const ModelRow& row_of(const Registry& registry, const std::string& name);
/// The network of spec.model, as its row makes it.
std::unique_ptr<Segmenter> make_segmenter(const Registry& registry, const SegmenterSpec& spec, std::uint64_t seed,
                                          const Placement& placement);

/// make() of a class with that constructor.
template <class Network>
std::unique_ptr<Segmenter> make(const SegmenterSpec& spec, std::uint64_t seed, const Placement& placement) {
  return std::make_unique<Network>(spec, seed, placement);
}

}  // namespace unet::models
