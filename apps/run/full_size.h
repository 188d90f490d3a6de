// From a network's map of probabilities to labels and to a photograph's own size: shared by predict_unet and eval_unet.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace unet {

/// Softmax over neighbouring values: logits [pixels,classes] -> probabilities, the same layout.
std::vector<float> softmax(std::vector<float> logits, std::int64_t classes);
/// In place.
void softmax(float* logits, std::int64_t pixels, std::int64_t classes);

/// One image's map at the network's size, [height,width,classes] with the classes beside each other.
struct MapShape {
  std::int64_t height, width, classes;
};

/// Labels of pixels from their probabilities p [pixels,classes]: the most probable class or, with a threshold, the most
/// probable foreground class where that of class 0 is at most 1 - threshold and class 0 elsewhere.
void put_labels(const float* p, std::int64_t pixels, std::int64_t classes, std::optional<double> threshold,
                std::uint8_t* labels);

/// The map at another size, [height,width,classes], bilinearly (pixel centres at halves).
std::vector<float> map_at_size(const float* p, const MapShape& map, int height, int width);

/// put_labels of the map at another size, row by row.
std::vector<std::uint8_t> labels_at_size(const float* p, const MapShape& map, int height, int width,
                                         std::optional<double> threshold);

/// One class of p [pixels,classes]: 0 is 0, 65535 is 1, rounded.
std::vector<std::uint16_t> plane_of(const float* p, std::int64_t pixels, std::int64_t classes,
                                    std::int64_t chosen_class);

/// One class of the map at another size, likewise.
std::vector<std::uint16_t> plane_at_size(const float* p, const MapShape& map, std::int64_t chosen_class, int height,
                                         int width);

}  // namespace unet
