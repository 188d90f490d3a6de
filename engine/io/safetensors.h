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
#include <string_view>
#include <vector>

namespace unet {

/// Limits of what is read and written: kSafeHeaderBytes is the format's own, the others bound what a hostile header can
/// make the reader hold.
inline constexpr std::uint64_t kSafeHeaderBytes = 100'000'000;
inline constexpr std::size_t kSafeTensors = std::size_t{1} << 17;
inline constexpr std::size_t kSafeRank = 8;
inline constexpr std::size_t kSafeMetadataKeys = std::size_t{1} << 16;
inline constexpr std::size_t kSafeTextBytes = std::size_t{16} << 20;  // names, keys and values of the header together

enum class SafeDtype : std::uint8_t { kBool, kU8, kI8, kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kF64, kI64, kU64 };
std::size_t safe_dtype_size(SafeDtype dtype);
std::string_view safe_dtype_name(SafeDtype dtype);

struct TensorInfo {
  std::string name;  // as in the file, so possibly with control characters: print it by printable()
  SafeDtype dtype = SafeDtype::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // bytes, relative to the data
  std::uint64_t end = 0;

  std::uint64_t bytes() const { return end - begin; }
  std::uint64_t elements() const { return bytes() / safe_dtype_size(dtype); }
};

class SafetensorsFile {
 public:
  /// Opens and validates. Throws unet::Error naming file, tensor and reason.
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In the order of their data.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// Null if there is none of this name.
  const TensorInfo* find(std::string_view name) const;
  /// Copies the info.bytes() bytes of one of tensors() to `destination`. Safe from several threads.
  void read(const TensorInfo& info, void* destination) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t data_start_ = 0;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::uint32_t> by_name_;
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
