#include "models/segmenter.h"

#include "engine/core/error.h"
#include "engine/ops/ops.h"

namespace unet::models {

Segmenter::Segmenter(const SegmenterSpec& spec, const Placement& placement)
    : spec_(spec),
      activations_(placement.activations),
      parameters_(placement.dtype, placement.device, placement.bf16_copies, placement.for_training) {
  if (spec.in_channels < 1 || spec.classes < 1 || spec.base_channels < 1) {
    throw Error("{}: in_channels, classes and base_channels must be at least 1, got {}, {} and {}", spec.model,
                spec.in_channels, spec.classes, spec.base_channels);
  }
}

void Segmenter::require_images(const Var& images) const {
  const Shape& s = images.shape();
  if (s.rank() == 4 && (s[3] == spec_.in_channels || s[3] == image_channels(spec_.in_channels, device()))) return;
  throw Error("{}: images must be [N,H,W,{}], got {}", spec_.model, spec_.in_channels, s.str());
}

Var logits(Segmenter& segmenter, Tape& tape, const Tensor& images) {
  const SegmenterSpec& spec = segmenter.spec();
  const std::int64_t channels = image_channels(spec.in_channels, segmenter.device());
  return segmenter.forward(tape, normalize_images(tape, images, spec.normalization, channels, segmenter.activations()));
}

}  // namespace unet::models
