// A dictionary of tensors that PyTorch saved (`.pth`, since 1.6): a zip archive of NAME/data.pkl, which says what there
// is, and NAME/data/KEY, the storages that tensors are views of. Nothing of it is run (pickle.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/io/tensor_file.h"

namespace unet {

/// Limits of what is read, beside kSafeRank. Views of all tensors together, which may share storages and leave out much
/// of them, come to at most kTorchShares times the bytes of the file.
inline constexpr std::uint64_t kPickleBytes = std::uint64_t{16} << 20;
inline constexpr std::size_t kTorchTensors = std::size_t{1} << 15;
inline constexpr std::size_t kTorchNameBytes = 4096;
inline constexpr std::uint64_t kTorchShares = 4;

class TorchFile : public TensorFile {
 public:
  /// Opens and validates all of it, checksums of the storages included. Of a dictionary that has one under
  /// `state_dict`, `model_state_dict`, `model` or `net` that one is taken; what is no tensor is passed over: notes()
  /// tell both. Throws unet::Error naming file, entry or tensor, and reason.
  explicit TorchFile(const std::filesystem::path& path);
  void read(const TensorInfo& info, void* destination) const override;

 private:
  struct View {
    std::uint64_t begin = 0;  // of the first element, in the file
    std::uint64_t bytes = 0;  // from there to the end of the last one
    std::vector<std::int64_t> strides;
  };
  friend class TorchReader;

  std::vector<View> views_;  // of tensors_
};

/// Whether a file begins as PyTorch's do, those of other kinds included.
bool is_torch_file(const std::filesystem::path& path);

}  // namespace unet
