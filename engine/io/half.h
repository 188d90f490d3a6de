// Values of 16 bits in files, F16 and BF16, as the floats that they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/io/tensor_file.h"

namespace unet {

/// IEEE binary16 as it is stored; exact, infinities and NaN included.
float widen_f16(std::uint16_t stored);

/// Bytes of a tensor: those of F16 and BF16 become F32, and dtype with them; others stay as they are.
void widen_halves(SafeDtype& dtype, std::vector<std::byte>& bytes);

inline bool is_half(SafeDtype dtype) { return dtype == SafeDtype::kF16 || dtype == SafeDtype::kBF16; }

}  // namespace unet
