// From a network's map of probabilities to labels at a photograph's own size: shared by predict_unet and eval_unet.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/core/tensor.h"

namespace unet {

/// Softmax over the channels: logits f32 [N,H,W,C] -> probabilities, the same layout.
std::vector<float> softmax(const Tensor& logits);

/// One image's map at the network's size, [height,width,classes] with the classes beside each other.
struct MapShape {
  std::int64_t height, width, classes;
};

/// Labels [height,width] from the probabilities p of one image, brought to that size bilinearly (pixel centres at
/// halves): the most probable class or, with a threshold, the most probable foreground class where that of class 0 is
/// at most 1 - threshold and class 0 elsewhere.
std::vector<std::uint8_t> labels_at_size(const float* p, const MapShape& map, int height, int width,
                                         std::optional<double> threshold);

}  // namespace unet
