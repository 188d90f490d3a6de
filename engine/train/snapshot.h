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
#include "engine/train/adam.h"

namespace unet {

using Metadata = std::map<std::string, std::string>;

/// A copy of what checkpoints hold, from which they are written while steps change the original. It takes as much
/// memory of the host as parameters, statistics and moments together (372 MB for 31 M parameters in f32) and once more
/// the largest weight; asked for by the first take(), used again by later ones.
class Snapshot {
 public:
  explicit Snapshot(const Parameters& parameters) : parameters_(parameters), copy_(parameters.device()) {}

  /// Copies the values as they are once the device has done what it was asked for before; the host does not wait for
  /// them. Without an optimizer the model alone.
  void take(const Adam* optimizer);

  /// What save_model and save_training write, of the values that were taken; by any thread, but one at a time.
  std::uint64_t save_model(const std::filesystem::path& path, const Metadata& metadata);
  void save_training(const std::filesystem::path& path, const Metadata& metadata);
  /// Committed steps, as Adam::steps.
  std::int64_t steps();

 private:
  void arrive();
  void add(const std::string& name, const std::vector<std::int64_t>& shape, SafeDtype dtype, const void* data);
  void write(const std::filesystem::path& path, Metadata metadata, std::size_t entries) const;

  const Parameters& parameters_;
  ReadBack copy_;                   // values, running, m, v and clocks, one behind the other
  std::vector<std::byte> scratch_;  // of the largest weight
  bool of_training_ = false;
  std::vector<std::int64_t> batches_tracked_, steps_;
  // Once the values have arrived, in the order of the disk: what is written, the model's first.
  std::vector<SafetensorsEntry> entries_;
  std::vector<std::uint64_t> checksums_;  // of each entry
  std::size_t of_model_ = 0;              // entries
  std::uint64_t digest_ = 0;
};

}  // namespace unet
