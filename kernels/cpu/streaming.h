// When an output should bypass the caches: it is too large to be found there by whoever reads it next, so that fetching
// its lines before overwriting them would be a third of the traffic for nothing.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

/// Bytes from which on an output counts as large. Set by tests and measurements; it shows in no result.
std::int64_t streaming_size();
void set_streaming_size(std::int64_t bytes);

/// Whether `out` is large, and every pixel of it made of whole, aligned vectors.
bool worth_streaming(const View& out);

}  // namespace unet::kernels::cpu
