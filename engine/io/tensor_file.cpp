#include "engine/io/tensor_file.h"

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"
#include "engine/io/safetensors.h"
#include "engine/io/torch_file.h"

namespace unet {

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto found = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                      [this](std::uint32_t i, std::string_view key) { return tensors_[i].name < key; });
  return found != by_name_.end() && tensors_[*found].name == name ? &tensors_[*found] : nullptr;
}

std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path) {
  if (is_torch_file(path)) return std::make_unique<TorchFile>(path);
  return std::make_unique<SafetensorsFile>(path);
}

std::vector<std::uint32_t> order_by_name(const std::vector<TensorInfo>& tensors) {
  std::vector<std::uint32_t> out(tensors.size());
  std::iota(out.begin(), out.end(), 0u);
  std::sort(out.begin(), out.end(),
            [&](std::uint32_t a, std::uint32_t b) { return tensors[a].name < tensors[b].name; });
  for (std::size_t i = 1; i < out.size(); ++i) {
    const std::string& name = tensors[out[i]].name;
    if (name == tensors[out[i - 1]].name) throw Error("tensor \"{}\" is named twice", printable(name));
  }
  return out;
}

}  // namespace unet
