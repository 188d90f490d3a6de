// How a kernel is called, instead of <<<>>>: through the runtime, so that the same source runs wherever it leads.
#pragma once

#include <tuple>
#if !defined(__CUDACC__)
#include <functional>
#endif

#include "kernels/cuda/runtime.h"

namespace unet::kernels::cuda {

#if !defined(__CUDACC__)
/// A kernel's code for one thread, with its arguments.
struct OnCpu {
  std::function<void()> thread;
};
#endif

/// Queues kernel(arguments...) over a grid; nothing if the grid is empty.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), Grid grid, Grid block, const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  const auto call = [&](auto&... value) {
    void* addresses[sizeof...(value) + 1] = {const_cast<void*>(static_cast<const void*>(&value))...};
    Launch what;
    what.kernel = reinterpret_cast<const void*>(kernel);
    what.grid = grid;
    what.block = block;
    what.arguments = addresses;
#if !defined(__CUDACC__)  // nvcc lets nobody call a kernel
    const OnCpu on_cpu{[kernel, values] { std::apply(kernel, values); }};
    what.on_cpu = &on_cpu;
#endif
    runtime().launch(what);
  };
  std::apply(call, values);
}

}  // namespace unet::kernels::cuda
