// How a network wants its images: (x/255 - mean) / deviation. It belongs to its weights, so checkpoints say it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/io/tensor_file.h"
#include "engine/ops/ops.h"

namespace unet::models {

/// The metadata entry of a checkpoint.
inline constexpr const char* kNormalizationKey = "normalization";

/// "imagenet", "unit" (x/255) or means and deviations, one a channel: "0.5,0.5,0.5/0.25,0.25,0.25". Throws Error.
kernels::NormalizeSpec parse_normalization(const std::string& text, std::int64_t channels = 3);
/// The text that parse_normalization reads.
std::string text_of(const kernels::NormalizeSpec& spec);

/// What a file says; ImageNet's for what train_unet wrote before it said so; nothing for a silent file of others.
/// Throws Error naming the file if its entry is none.
std::optional<kernels::NormalizeSpec> normalization_of(const TensorFile& file, std::int64_t channels = 3);

}  // namespace unet::models
