// A model on disk: safetensors with PyTorch's names and shapes (checkpoint_form.h). Each batch norm adds
// NAME.running_mean, NAME.running_var and the I64 scalar NAME.num_batches_tracked.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "engine/train/snapshot.h"

namespace unet {

/// Writes parameters and statistics atomically and durably, for each tensor with its xxh64 as the metadata entry
/// "checksum.NAME". Returns the digest of the checksums of the model's tensors: equal ones, equal weights. Throws
/// Error, the old file intact.
std::uint64_t save_model(const std::filesystem::path& path, const Parameters& parameters, const Metadata& metadata);

/// Loads parameters and statistics; the file must hold exactly the model's tensors with their shapes, in F32 or F64.
/// Tensors named "state.*" are a training's own and are passed over. Everything, NaN and Inf and checksums (of files
/// that have them) included, is checked before the first value changes. Returns the digest that save_model returned.
/// Throws Error naming file, tensor, what was found and expected.
std::uint64_t load_model(const TensorFile& file, Parameters& parameters);

/// What came of a file that need not fit: names of the model's tensors and, of those nobody wanted, the file's.
struct LoadedTensors {
  std::vector<std::string> loaded, missing;  // in the model's order
  std::vector<std::string> unused;           // in the file's order
  std::uint64_t digest = 0;                  // of the checksums of what was loaded
};

/// From a tensor's name in a file to its name in the model; to one that the model has not: it is not wanted.
using Rename = std::function<std::string(const std::string&)>;

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Looks at what will be loaded before anything is read; throws Error to refuse.
using Accept = std::function<void(const LoadedTensors&)>;

/// Loads what the file holds of the model, each tensor checked as load_model does: one that is there and does not fit,
/// or is damaged, is an Error, before anything changes; so are two for one name. F16 and BF16 are converted. What is
/// missing stays as it is. Without rename both have the same names. `others`, on the host, are taken like the model's,
/// and instead of those of the same name.
LoadedTensors load_tensors(const TensorFile& file, Parameters& parameters, const Rename& rename = {},
                           const std::vector<NamedTensor>& others = {}, const Accept& accept = {});

/// Throws Error naming the first tensor that is missing, unused, or gone though the file has a checksum of it.
void require_whole(const TensorFile& file, const LoadedTensors& found);

/// Reads every tensor that has a checksum. Throws Error naming the first that is damaged.
void verify_checksums(const SafetensorsFile& file);

/// A model together with its optimizer: the file of save_model and, flat and in the order of the arenas, the
/// optimizer's moments ("state.adam_m", "state.adam_v"; "state.sgd_momentum") and "state.adam_steps" or
/// "state.sgd_steps", an I64 scalar or, for several groups of parameters, one each. With an average of the weights that
/// is the file's model, and what is trained stands in "state.trained_values" and "state.trained_running".
void save_training(const std::filesystem::path& path, const Parameters& parameters, const Optimizer& optimizer,
                   const Metadata& metadata, const WeightAverage* average = nullptr);
/// Loads them. Throws Error as load_model does, also on moments that no training leaves (Optimizer::Moment: Adam's m
/// beyond 1e18, v negative or beyond 1e36), and if the file is of another optimizer, or has an average and `average` is
/// null, or the other way round; then nothing has changed.
void load_training(const SafetensorsFile& file, Parameters& parameters, Optimizer& optimizer,
                   WeightAverage* average = nullptr);

}  // namespace unet
