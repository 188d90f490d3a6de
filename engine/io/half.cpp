#include "engine/io/half.h"

#include <bit>
#include <cstring>
#include <utility>

#include "kernels/bf16.h"

namespace unet {

float widen_f16(std::uint16_t stored) {
  const std::uint32_t sign = (stored & 0x8000u) << 16, rest = stored & 0x7FFFu;
  // As bits of a float the exponent is 112 short.
  const float size = rest < 0x7C00 ? std::bit_cast<float>(rest << 13) * 0x1p112f
                                   : std::bit_cast<float>(0x7F800000 | rest << 13);  // infinite, or NaN
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(size) | sign);
}

void widen_halves(SafeDtype& dtype, std::vector<std::byte>& bytes) {
  if (!is_half(dtype)) return;
  std::vector<std::byte> wide(2 * bytes.size());
  for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
    std::uint16_t stored = 0;
    std::memcpy(&stored, bytes.data() + 2 * i, 2);
    const float value = dtype == SafeDtype::kF16 ? widen_f16(stored) : kernels::widen(kernels::bf16{stored});
    std::memcpy(wide.data() + 4 * i, &value, 4);
  }
  bytes = std::move(wide);
  dtype = SafeDtype::kF32;
}

}  // namespace unet
