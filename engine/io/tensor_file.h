// Tensors under their names in a file, whatever its format: safetensors.h, torch_file.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/input_file.h"

namespace unet {

/// Bounds of what a hostile file can make its reader hold.
inline constexpr std::size_t kSafeTensors = std::size_t{1} << 17;
inline constexpr std::size_t kSafeRank = 8;
inline constexpr std::size_t kSafeTextBytes = std::size_t{16} << 20;  // names and all other text together

enum class SafeDtype : std::uint8_t { kBool, kU8, kI8, kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kF64, kI64, kU64 };
std::size_t safe_dtype_size(SafeDtype dtype);
std::string_view safe_dtype_name(SafeDtype dtype);

struct TensorInfo {
  std::string name;  // as in the file, so possibly with control characters: print it by printable()
  SafeDtype dtype = SafeDtype::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // bytes, relative to the data, where all tensors lie one behind the other
  std::uint64_t end = 0;

  std::uint64_t bytes() const { return end - begin; }
  std::uint64_t elements() const { return bytes() / safe_dtype_size(dtype); }
};

class TensorFile {
 public:
  virtual ~TensorFile() = default;

  const std::filesystem::path& path() const { return file_.path(); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In the order of their data.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// Null if there is none of this name.
  const TensorInfo* find(std::string_view name) const;
  /// What was chosen or passed over in the file, a line each, fit to be shown.
  const std::vector<std::string>& notes() const { return notes_; }
  /// Copies the info.bytes() bytes of one of tensors(), row by row, to `destination`. Safe from several threads.
  virtual void read(const TensorInfo& info, void* destination) const = 0;

 protected:
  explicit TensorFile(const std::filesystem::path& path) : file_(path) {}

  InputFile file_;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::uint32_t> by_name_;  // order_by_name(tensors_)
  std::vector<std::string> notes_;
};

/// Opens and validates safetensors or a PyTorch file, told apart by their first bytes. Throws unet::Error naming file
/// and reason; for PyTorch's files of other kinds it tells the command that makes them one of these.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);

/// Indices into tensors. Throws unet::Error if two have the same name.
std::vector<std::uint32_t> order_by_name(const std::vector<TensorInfo>& tensors);

}  // namespace unet
