// What a training leaves in a checkpoint, copied, so that the file can be written while the training goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/core/device_memory.h"
#include "engine/io/safetensors.h"
#include "engine/train/average.h"
#include "engine/train/optimizer.h"

namespace unet {

using Metadata = std::map<std::string, std::string>;

/// A copy of what checkpoints hold, from which they are written while steps change the original. It takes as much
/// memory of the host as parameters, statistics and moments together (372 MB for 31 M parameters in f32 with Adam),
/// with an average of the weights their share once more, and the largest weight; asked for by the first take(), used
/// again by later ones.
class Snapshot {
 public:
  explicit Snapshot(const Parameters& parameters) : parameters_(parameters), copy_(parameters.device()) {}

  /// Copies the values as they are once the device has done what it was asked for before; the host does not wait for
  /// them. Without an optimizer the model alone. Where there is an average it is the model of both files, and what is
  /// trained belongs to the state of the training. The optimizer outlives what is written of it.
  void take(const Optimizer* optimizer, const WeightAverage* average = nullptr);

  /// What save_model and save_training write, of the values that were taken; by any thread, but one at a time.
  std::uint64_t save_model(const std::filesystem::path& path, const Metadata& metadata);
  void save_training(const std::filesystem::path& path, const Metadata& metadata);
  /// Committed steps, as Optimizer::steps.
  std::int64_t steps();

 private:
  void arrive();
  void add(const std::string& name, const std::vector<std::int64_t>& shape, SafeDtype dtype, const void* data);
  void write(const std::filesystem::path& path, Metadata metadata, std::size_t entries) const;

  /// A flat range that the training alone needs, and where it begins in the copy.
  struct StateRange {
    std::string name;
    std::int64_t elements = 0;
    std::size_t begin = 0;  // in bytes
  };

  const Parameters& parameters_;
  ReadBack copy_;                   // values and running, the ranges of the state, clocks: one behind the other
  std::size_t running_begin_ = 0;   // in it, in bytes
  std::vector<StateRange> state_;   // moments, then what is trained beside an average
  std::vector<std::byte> scratch_;  // of the largest weight
  std::size_t clocks_begin_ = 0;
  const Optimizer* optimizer_ = nullptr;  // of the training
  std::vector<std::int64_t> batches_tracked_, steps_;
  // Once the values have arrived, in the order of the disk: what is written, the model's first.
  std::vector<SafetensorsEntry> entries_;
  std::vector<std::uint64_t> checksums_;  // of each entry
  std::size_t of_model_ = 0;              // entries
  std::uint64_t digest_ = 0;
};

}  // namespace unet
