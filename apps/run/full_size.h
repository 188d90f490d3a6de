// From a network's map of probabilities to a photograph's own size: shared by predict_unet and eval_unet.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace unet {

/// Softmax over neighbouring values: logits [pixels,classes] -> probabilities, the same layout.
std::vector<float> softmax(std::vector<float> logits, std::int64_t classes);

/// One image's map at the network's size, [height,width,classes] with the classes beside each other.
struct MapShape {
  std::int64_t height, width, classes;
};

/// Labels [height,width] from the probabilities p of one image, brought to that size bilinearly (pixel centres at
/// halves): the most probable class or, with a threshold, the most probable foreground class where that of class 0 is
/// at most 1 - threshold and class 0 elsewhere.
std::vector<std::uint8_t> labels_at_size(const float* p, const MapShape& map, int height, int width,
                                         std::optional<double> threshold);

/// One class's probabilities, brought to [height,width] likewise: 0 is 0, 65535 is 1, rounded.
std::vector<std::uint16_t> plane_at_size(const float* p, const MapShape& map, std::int64_t chosen_class, int height,
                                         int width);

}  // namespace unet
