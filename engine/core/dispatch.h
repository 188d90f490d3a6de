// From a device to the function that does the work there. The two back ends mirror each other: a function of
// unet::kernels::cpu has a namesake with the same arguments in unet::kernels::cuda, on device memory, asynchronous.
#pragma once

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "kernels/view.h"

namespace unet {

namespace kernels::cpu {}
namespace kernels::cuda {}
namespace cpu = kernels::cpu;
namespace cuda = kernels::cuda;

#if !defined(UNET_HAS_CUDA)
#error "dispatch.h is for files that CMake finds to include it themselves: include it in a .cpp, or configure once more"
#endif
inline constexpr bool kHasCuda = UNET_HAS_CUDA != 0;

/// Calls `Cpu` or `Cuda`. A program built without CUDA never names the latter, so it need not be linked.
template <auto Cpu, auto Cuda, class... Arguments>
decltype(auto) dispatch(Device device, Arguments&&... arguments) {
  if (device.is_cpu()) return Cpu(std::forward<Arguments>(arguments)...);
  if constexpr (kHasCuda) {
    return Cuda(std::forward<Arguments>(arguments)...);
  } else {
    throw Error("this program was built without CUDA, so nothing can run on \"{}\"", device.str());
  }
}

}  // namespace unet
