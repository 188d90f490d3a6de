// Whether what a file asks for fits into this machine, before it is tried.
#pragma once

#include <cstdint>
#include <string>

#include "apps/options.h"
#include "apps/run/machine.h"
#include "models/registry.h"

namespace unet {

/// Bytes that this process can still get, the least of what is known: the system's available memory, the limit of its
/// control group, what is left of its own address space.
std::uint64_t available_memory();

/// Throws Error with the sizes and what to pass instead if a pass over `batch` images of this size cannot fit.
/// A GPU's own memory is its pool's matter. For the message: the checkpoint, and the option that says the size.
void require_memory(const std::string& source, const models::Registry& registry, const models::SegmenterSpec& spec,
                    const Machine& machine, std::int64_t batch, const ImageExtent& size,
                    const std::string& option = "--image-size");

}  // namespace unet
