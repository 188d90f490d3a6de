// How kernels that are bound by memory treat it.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

// When an output should bypass the caches: it is too large to be found there by whoever reads it next, so that fetching
// its lines before overwriting them would be a third of the traffic for nothing.

/// Bytes from which on an output counts as large. Set by tests and measurements; it shows in no result.
std::int64_t streaming_size();
void set_streaming_size(std::int64_t bytes);

/// Whether `out` is large, and every pixel of it made of whole, aligned vectors.
bool worth_streaming(const View& out);

/// Elements from what is read of a slice to what should be prefetched meanwhile: the gap up to the next pixel. The
/// machine's own prefetcher follows unbroken runs only; reading half of a wider tensor costs less when all of it is
/// fetched. 0 where there is no such gap.
std::int64_t gap_distance(const Extent& in);

}  // namespace unet::kernels::cpu
