// Weights from a file, as every program takes them: what is guessed or adapted is said, a line each.
#pragma once

#include "apps/options.h"
#include "models/description.h"

namespace unet {

/// describe(), with the normalization that is asked for.
models::Description describe(const models::Registry& registry, const TensorFile& file,
                             const std::optional<kernels::NormalizeSpec>& asked);
/// The options of a run, with the normalization of the weights that it begins or goes on with unless another is asked
/// for; null: it begins with none.
TrainOptions with_normalization_of(const TensorFile* weights, TrainOptions options, const models::Registry& registry);
/// What --encoder-weights, --freeze-encoder and --encoder-lr-scale ask for at the begin of a run or, resumed, of its
/// rest. Throws Error if the network has no encoder.
void prepare_encoder(const TrainOptions& options, models::Segmenter& model, bool resumed);
/// load_weights().
void load_and_say(const TensorFile& file, models::Segmenter& model,
                  models::OtherHead other_head = models::OtherHead::refused, bool quiet = false);

}  // namespace unet
