#include "engine/core/device.h"

#include "engine/core/cuda_memory.h"
#include "engine/core/dispatch.h"

namespace unet {

DeviceChoice choose_device(const std::string& wanted) {
  if (wanted == "cpu") return {.device = Device{}, .text = "cpu"};
  DeviceChoice found{.device = Device{}, .text = "this program was built without CUDA"};
  if constexpr (kHasCuda) found = cuda_memory::choose();
  if (wanted == "cuda" && found.device.is_cpu()) {
    throw Error("--device cuda: {}. Mend that, or use --device cpu (auto takes the CPU by itself).", found.text);
  }
  found.text = fmt::format(fmt::runtime(found.device.is_cpu() ? "cpu (no CUDA: {})" : "cuda ({})"), found.text);
  return found;
}

}  // namespace unet
