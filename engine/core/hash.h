// A checksum for the bytes of tensors: it tells damage, not malice.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unet {

/// XXH64 (Collet 2014, seed 0), which other programs know too. Damage goes unseen once in 2^64.
std::uint64_t xxh64(const void* data, std::size_t bytes);

}  // namespace unet
