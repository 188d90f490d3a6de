// U-Net (Ronneberger, Fischer & Brox 2015, figure 1) as it is trained today: batch-normalised, same padding, four
// levels. Names and disk shapes are those of the milesial UNet, so its checkpoints load here and ours load there.
#pragma once

#include <optional>
#include <vector>

#include "engine/nn/layers.h"
#include "models/segmenter.h"
#include "models/weights.h"

namespace unet::models {

/// Its row of the registry (registry.h).
std::optional<SegmenterSpec> recognize_unet(const WeightsFile& weights);
double unet_inference_bytes(const SegmenterSpec& spec, std::int64_t N, std::int64_t height, std::int64_t width,
                            Dtype dtype);

class UNet : public Segmenter {
 public:
  /// Parameters are drawn from the seed as PyTorch's defaults would be. Throws Error for a spec that makes no network.
  explicit UNet(const SegmenterSpec& spec, std::uint64_t seed = 0, const Placement& placement = {});

  /// Padded with zeros to multiples of 16 inside.
  Var forward(Tape& tape, const Var& images) override;
  Work work(std::int64_t height, std::int64_t width) const override;
  std::int64_t deepest_pixels(std::int64_t height, std::int64_t width) const override;

 private:
  static constexpr int kDepth = 4;

  /// (convolution, batch norm, ReLU) twice: [N,H,W,Cin] -> [N,H,W,middle] -> [N,H,W,Cout].
  struct DoubleConv {
    DoubleConv(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t middle,
               std::int64_t Cout);
    nn::ConvNormAct first, second;
  };

  std::vector<std::int64_t> width_;                     // channels of the skip connection at each level, top first
  std::vector<DoubleConv> down_;                        // levels 0..kDepth-1, then the bottom
  std::vector<std::optional<nn::ConvTranspose2d>> up_;  // levels kDepth-1..0; empty if bilinear
  std::vector<DoubleConv> merge_;                       // levels kDepth-1..0
  std::optional<nn::PixelLinear> head_;
};

}  // namespace unet::models
