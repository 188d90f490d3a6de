// The JSON header of a safetensors file. A general JSON parser is a poor guard here: it keeps the last of duplicate
// keys, may take a NUL for the end, and holds every token several times; the grammar is six productions, parsed
// directly.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/safetensors.h"

namespace unet {

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<TensorInfo> tensors;     // ordered by begin
  std::vector<std::uint32_t> by_name;  // indices into tensors, ordered by name
};

/// Parses and validates `text` for a file whose data part has data_bytes bytes. Throws unet::Error with tensor and
/// reason (the caller adds the file).
SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes);

/// The header without its length, padded with spaces to a multiple of 8 bytes. `tensors` in the order of their data.
std::string make_safetensors_header(const std::map<std::string, std::string>& metadata,
                                    const std::vector<TensorInfo>& tensors);

/// Product of shape and the size of an element, every multiplication checked. Throws unet::Error on overflow.
std::uint64_t safetensors_bytes(const std::vector<std::int64_t>& shape, SafeDtype dtype);

}  // namespace unet
