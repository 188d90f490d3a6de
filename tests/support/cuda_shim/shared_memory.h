// Finds the arrays that a kernel declares in shared memory, which are static variables of a function here.
#pragma once

namespace unet::shim {

/// Fills those of `kernel` with 0xff bytes.
void poison_shared_memory(const void* kernel);

}  // namespace unet::shim
