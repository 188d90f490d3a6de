// The safetensors file format, independent of Tensor: u64 little-endian header length N, N bytes of JSON, the data.
//   {"__metadata__": {"key": "value", ...}, "name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...}
// Offsets are relative to the data. The reader trusts nothing: the whole header is validated before a byte of data is
// read, within memory of the file's size plus a few tens of MiB. Stricter than the usual reader: duplicate keys,
// unknown fields of a tensor and headers beyond the limits below are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"

namespace unet {

/// Limits of what is read and written, beside those of tensor_file.h; kSafeHeaderBytes is the format's own.
inline constexpr std::uint64_t kSafeHeaderBytes = 100'000'000;
inline constexpr std::size_t kSafeMetadataKeys = std::size_t{1} << 16;

class SafetensorsFile : public TensorFile {
 public:
  /// Opens and validates. Throws unet::Error naming file, tensor and reason.
  explicit SafetensorsFile(const std::filesystem::path& path);
  void read(const TensorInfo& info, void* destination) const override;

 private:
  std::uint64_t data_start_ = 0;
};

/// One tensor to write: `data` points to all of its bytes, or `fill` produces them. fill(offset, chunk) is called with
/// consecutive chunks of at most 1 MiB, whole elements, `offset` in bytes from the tensor's start.
struct SafetensorsEntry {
  std::string name;
  SafeDtype dtype = SafeDtype::kF32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
  std::function<void(std::uint64_t offset, std::span<std::byte> chunk)> fill;
};

/// Writes atomically and durably (durable_file.h); entries in any order, data ordered by descending alignment, then
/// name; the same content gives the same bytes. Throws unet::Error on a duplicate name, on `__metadata__` as a name, on
/// text that is not UTF-8, on a negative dimension, on what the reader would refuse, and on errors of the disk.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<SafetensorsEntry>& entries);

}  // namespace unet
