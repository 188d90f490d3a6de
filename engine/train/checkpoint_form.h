// The form of a checkpoint, shared by those who write and read one: names, shapes, checksums. In memory weights are
// [A,Kh,Kw,B], on disk [A,B,Kh,Kw]; this file holds the only transposition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/tensor_file.h"
#include "engine/train/optimizer.h"

namespace unet::checkpoint_form {

inline constexpr const char* kStatePrefix = "state.";
/// What is trained, flat, of a training whose model in the file is the average of the weights.
inline constexpr const char* kTrainedValues = "state.trained_values";
inline constexpr const char* kTrainedRunning = "state.trained_running";
std::string moment_name(const Optimizer::Moment& moment);  // "state.adam_m"
std::string steps_name(const Optimizer& optimizer);        // "state.adam_steps"

/// Where a tensor of the model lies in its arenas.
struct Place {
  std::string name;
  Shape shape;
  bool in_running = false;  // else in values
  std::int64_t offset = 0;  // in elements
};

/// Parameters and running statistics.
std::vector<Place> places_of(const Parameters& parameters);
/// The count of a batch norm's batches.
std::string tracked_name(const Parameters::Stats& stats);

std::vector<std::int64_t> disk_shape(const Shape& shape);
/// Of steps_name: a scalar for a model of one group.
std::vector<std::int64_t> steps_shape(const Parameters& parameters);
SafeDtype file_dtype(const Parameters& parameters);

inline constexpr std::string_view kChecksum = "checksum.";
std::string checksum_key(const std::string& tensor);
std::string checksum_text(std::uint64_t checksum);
/// The digest so far and one tensor more.
std::uint64_t digest_with(std::uint64_t digest, std::uint64_t checksum);

/// Calls move(memory index, disk index) for every element of a weight [A,Kh,Kw,B] kept as [A,B,Kh,Kw].
template <class Move>
void for_each_place(const Shape& s, Move&& move) {
  if (s.rank() != 4) {
    for (std::int64_t i = 0; i < s.size(); ++i) move(i, i);
    return;
  }
  const std::int64_t taps = s[1] * s[2], B = s[3];
  for (std::int64_t a = 0; a < s[0]; ++a) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t b = 0; b < B; ++b) move((a * taps + tap) * B + b, (a * B + b) * taps + tap);
    }
  }
}

}  // namespace unet::checkpoint_form
