#include "apps/run/weights.h"

#include "apps/run/screen.h"

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

void load_and_say(const TensorFile& file, models::Segmenter& model, models::OtherHead other_head, bool quiet) {
  for (const std::string& line : models::load_weights(file, model, other_head)) {
    if (!quiet) say("weights: {}\n", line);
  }
}

}  // namespace unet
