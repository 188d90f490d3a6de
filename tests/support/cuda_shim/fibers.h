// Runs a kernel on the CPU: blocks one after another, the threads of a block as fibers that change places only at
// barriers and exchanges, in an order drawn anew each time. What the hardware leaves open is made as bad as can be:
// shared memory is poisoned before every block (0xff bytes: NaN in every float), and a missing barrier shows for most
// seeds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/cuda/runtime.h"

namespace unet::shim {

/// Throws CudaError for a grid or block that no device would take.
void check_launch(const kernels::cuda::Grid& grid, const kernels::cuda::Grid& block);

/// Calls body(), which calls the kernel, once for every thread of the grid. Throws std::logic_error if a barrier is not
/// reached by every thread of its block, or an exchange not by every thread of its warp.
void run_grid(const void* kernel, const kernels::cuda::Grid& grid, const kernels::cuda::Grid& block,
              const std::function<void()>& body);

/// The orders of all grids to come. Printed by the test program, which takes it from UNET_SHIM_SEED if that is set.
void set_order_seed(std::uint64_t seed);
std::uint64_t order_seed();
/// A number below n, from the same stream as the orders.
unsigned draw(std::size_t n);

/// How many arrays in shared memory a kernel has, as far as the shim knows.
int shared_arrays(const void* kernel);
/// Its name in the program, demangled.
std::string kernel_name(const void* kernel);

}  // namespace unet::shim
