// A strict reader of TensorBoard's event files that knows nothing of the writer: every CRC, every wire type.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace unet::tests {

struct ReadPicture {
  std::uint64_t width = 0, height = 0, colorspace = 0;
  std::string encoded;
};
struct ReadTensor {
  std::string plugin;
  std::uint64_t thresholds = 0, dtype = 0;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};
struct ReadEvent {
  double wall_time = 0;
  std::uint64_t step = 0;
  std::string version;
  std::map<std::string, float> scalars;
  std::map<std::string, ReadPicture> pictures;
  std::map<std::string, ReadTensor> tensors;
};

/// All events of a file's bytes; a failure of the test for each thing that is not as it must be.
std::vector<ReadEvent> read_events(std::string_view bytes);

/// CRC-32C, bit by bit, rotated and shifted as TFRecord asks.
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace unet::tests
