// A second network, to prove that programs know none by name: other names than the UNet's, sides padded to multiples of
// 6 instead of 16, its own batch norm, one skip.
#pragma once

#include "engine/nn/layers.h"
#include "models/registry.h"

namespace unet::test {

class Toy : public models::Segmenter {
 public:
  explicit Toy(const models::SegmenterSpec& spec, std::uint64_t seed = 0, const models::Placement& placement = {})
      : Segmenter(spec, placement),
        encoder_(parameters(), "encoder.conv", "encoder.norm", spec.in_channels, spec.base_channels),
        bottom_(parameters(), "bottom.conv", "bottom.norm", spec.base_channels, spec.base_channels, 1),
        decoder_(parameters(), "decoder.conv", "decoder.norm", 2 * spec.base_channels, spec.base_channels),
        head_(parameters(), "head", spec.base_channels, spec.classes) {
    parameters().initialize(seed);
  }

  Var forward(Tape& tape, const Var& images) override {
    require_images(images);
    const std::int64_t H = images.shape()[1], W = images.shape()[2];
    const Var x = pad_or_crop(tape, images, (H + 5) / 6 * 6, (W + 5) / 6 * 6);
    nn::ConvNormAct::Options options;
    options.pool = true;
    const NormActResult skip = encoder_.forward(tape, x, options);
    const Var up = upsample_bilinear(tape, bottom_.forward(tape, skip.pooled), true);
    const Var y = decoder_.forward(tape, concat(tape, {skip.y, up}));
    return pad_or_crop(tape, head_.forward(tape, y), H, W);
  }

  models::Work work(std::int64_t height, std::int64_t width) const override {
    const double pixels = static_cast<double>(height) * static_cast<double>(width);
    return {pixels, 3 * pixels};
  }
  std::int64_t deepest_pixels(std::int64_t height, std::int64_t width) const override {
    return ((height + 5) / 6 * 3) * ((width + 5) / 6 * 3);
  }

 private:
  nn::ConvNormAct encoder_, bottom_, decoder_;
  nn::PixelLinear head_;
};

inline std::optional<models::SegmenterSpec> recognize_toy(const models::WeightsFile& weights) {
  const TensorInfo* first = weights.find("encoder.conv.weight");
  const TensorInfo* head = weights.find("head.weight");
  if (first == nullptr || head == nullptr || first->shape.size() != 4 || head->shape.size() != 4) return std::nullopt;
  return models::SegmenterSpec{
      .in_channels = first->shape[1], .classes = head->shape[0], .base_channels = first->shape[0], .model = "toy"};
}

inline double toy_inference_bytes(const models::SegmenterSpec& spec, std::int64_t N, std::int64_t height,
                                  std::int64_t width, Dtype) {
  return static_cast<double>(N * height * width * spec.base_channels);
}

/// The project's networks, and one row more.
inline models::Registry registry_with_toy() {
  models::Registry rows = models::registry();
  rows.push_back({"toy", models::make<Toy>, recognize_toy, toy_inference_bytes, "imagenet"});
  return rows;
}

}  // namespace unet::test
