// Encoders that were trained for something else: torchvision's classifiers, and those of whole segmentation networks.
#pragma once

#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "models/segmenter.h"

namespace unet::models {

/// The group of parameters that such weights are for, and what their names begin with.
inline constexpr const char* kEncoder = "encoder";

bool has_encoder(const Segmenter& segmenter);

/// Loads the encoder's weights and statistics, strictly as load_weights does, and leaves all else as it is. Names may
/// begin with "encoder." or not, and with a wrapper's prefix; F16 and BF16 are converted; num_batches_tracked may be
/// missing. A first convolution of another number of input channels is adapted as segmentation_models.pytorch does:
/// to one channel its slices are summed, to n they are repeated in turn, times theirs / n. Returns the file's notes and
/// a line for what was adapted and for what the file holds beside. Throws Error before anything has changed, also for
/// a network without an encoder.
std::vector<std::string> load_encoder_weights(const TensorFile& file, Segmenter& segmenter);

}  // namespace unet::models
