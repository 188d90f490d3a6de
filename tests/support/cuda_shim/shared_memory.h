// Finds the arrays that kernels declare in shared memory, which are static variables of functions here.
#pragma once

namespace unet::shim {

/// Fills every one of them with 0xff bytes.
void poison_shared_memory();

}  // namespace unet::shim
