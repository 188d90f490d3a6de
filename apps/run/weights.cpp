#include "apps/run/weights.h"

#include "apps/run/screen.h"
#include "engine/core/error.h"
#include "models/encoder_weights.h"

namespace unet {
namespace {

void say_guess(const kernels::NormalizeSpec& normalization) {
  say("weights: the file does not say how its images were normalized: {} is assumed, --normalization tells another\n",
      models::text_of(normalization));
}

}  // namespace

models::Description describe(const models::Registry& registry, const TensorFile& file,
                             const std::optional<kernels::NormalizeSpec>& asked) {
  models::Description out = models::describe(registry, file);
  if (asked) {
    out.spec.normalization = *asked;
  } else if (!out.says_normalization) {
    say_guess(out.spec.normalization);
  }
  return out;
}

TrainOptions with_normalization_of(const TensorFile* weights, TrainOptions options, const models::Registry& registry) {
  if (options.normalization || weights == nullptr) return options;
  options.normalization = models::normalization_of(*weights);
  if (options.normalization) return options;
  options.normalization = models::parse_normalization(models::row_of(registry, options.model).foreign_normalization);
  if (!options.quiet) say_guess(*options.normalization);
  return options;
}

void prepare_encoder(const TrainOptions& options, models::Segmenter& model, bool resumed) {
  const char* asked = !options.encoder_weights.empty() ? "--encoder-weights"
                      : options.freeze_encoder > 0     ? "--freeze-encoder"
                      : options.encoder_lr_scale != 1  ? "--encoder-lr-scale"
                                                       : nullptr;
  if (asked == nullptr) return;
  if (!models::has_encoder(model)) {
    throw Error("{}: {} has no encoder that is a part of its own; leave the option out, or choose another --model",
                asked, options.model);
  }
  model.parameters().set_lr_scale(models::kEncoder, options.encoder_lr_scale);
  model.parameters().set_trainable(models::kEncoder, options.freeze_encoder == 0);
  if (resumed || options.encoder_weights.empty()) return;
  const std::unique_ptr<TensorFile> file = open_tensor_file(options.encoder_weights);
  for (const std::string& line : models::load_encoder_weights(*file, model)) {
    if (!options.quiet) say("encoder weights: {}\n", line);
  }
}

void load_and_say(const TensorFile& file, models::Segmenter& model, models::OtherHead other_head, bool quiet) {
  for (const std::string& line : models::load_weights(file, model, other_head)) {
    if (!quiet) say("weights: {}\n", line);
  }
}

}  // namespace unet
