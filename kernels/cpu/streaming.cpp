#include "kernels/cpu/streaming.h"

namespace unet::kernels::cpu {

namespace {

// Fixed, since what the system tells of its caches is often wrong on virtual machines.
std::int64_t large = std::int64_t{16} << 20;

}  // namespace

std::int64_t streaming_size() { return large; }
void set_streaming_size(std::int64_t bytes) { large = bytes; }

bool worth_streaming(const View& out) {
  constexpr std::int64_t widest_vector = 64;
  if (!out) return false;
  const auto element = static_cast<std::int64_t>(size_of(out.dtype));
  if (out.size() * element < large) return false;
  const auto address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(out.data));
  return (address | (out.pitch * element) | (out.c() * element)) % widest_vector == 0;
}

std::int64_t gap_distance(const Extent& in) { return in.pitch <= 2 * in.c() && !in.dense() ? in.c() : 0; }

}  // namespace unet::kernels::cpu
