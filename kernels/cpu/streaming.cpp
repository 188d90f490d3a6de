#include "kernels/cpu/streaming.h"

namespace unet::kernels::cpu {

bool worth_streaming(const View& out) {
  // A fixed size, since what the system tells of its caches is often wrong on virtual machines.
  constexpr std::int64_t large = std::int64_t{16} << 20;
  constexpr std::int64_t widest_vector = 64;
  if (!out) return false;
  const auto element = static_cast<std::int64_t>(size_of(out.dtype));
  if (out.size() * element < large) return false;
  const auto address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(out.data));
  return (address | (out.pitch * element) | (out.c() * element)) % widest_vector == 0;
}

}  // namespace unet::kernels::cpu
