#include "engine/core/device.h"

#include "engine/core/cuda_memory.h"
#include "engine/core/dispatch.h"

namespace unet {

DeviceChoice choose_device(const std::string& wanted) {
  if (wanted == "cpu") return {Device{}, "cpu"};
  DeviceChoice found{Device{}, "this program was built without CUDA"};
  if constexpr (kHasCuda) found = cuda_memory::choose();
  if (wanted == "cuda" && found.device.is_cpu()) {
    throw Error("--device cuda: {}. Mend that, or use --device cpu (auto takes the CPU by itself).", found.text);
  }
  if (found.device.is_cpu()) return {found.device, fmt::format("cpu (no CUDA: {})", found.text)};
  return {found.device, fmt::format("cuda ({})", found.text)};
}

}  // namespace unet
