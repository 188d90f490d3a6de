// A U-Net whose encoder is a ResNet-34 (He et al. 2016, table 1): the Unet("resnet34") of segmentation_models.pytorch,
// with its layers, names, disk shapes and initialisation, so its files load here and ours load there. The encoder is
// torchvision's resnet34 without the classifier.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/nn/layers.h"
#include "models/segmenter.h"
#include "models/weights.h"

namespace unet::models {

/// Its row of the registry (registry.h).
std::optional<SegmenterSpec> recognize_resnet34_unet(const WeightsFile& weights);
double resnet34_unet_inference_bytes(const SegmenterSpec& spec, std::int64_t N, std::int64_t height, std::int64_t width,
                                     Dtype dtype);

class ResNet34UNet : public Segmenter {
 public:
  /// base_channels: of the stem, 64 in the paper; the last decoder block has a quarter of it. Parameters are drawn from
  /// the seed as PyTorch's would be; those of the encoder are the group "encoder". Throws Error for a spec that makes
  /// no network.
  explicit ResNet34UNet(const SegmenterSpec& spec, std::uint64_t seed = 0, const Placement& placement = {});

  /// Padded with zeros to multiples of 32 inside.
  Var forward(Tape& tape, const Var& images) override;
  Work work(std::int64_t height, std::int64_t width) const override;
  std::int64_t deepest_pixels(std::int64_t height, std::int64_t width) const override;

 private:
  /// x [N,H,W,Cin] -> relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)) [N,H/stride,W/stride,Cout].
  struct BasicBlock {
    BasicBlock(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t Cout,
               std::int64_t stride);
    /// Written into `out` (may be a channel slice) if given.
    Var forward(Tape& tape, const Var& x, const Tensor& out) const;

    nn::ConvNormAct first, second;
    std::optional<nn::ConvNormAct> downsample;  // where size or channels change
  };
  /// What a level of the decoder does with [upsampled, skip].
  struct DecoderBlock {
    DecoderBlock(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t Cout);
    nn::ConvNormAct first, second;
  };

  std::optional<nn::ConvNormAct> stem_;
  std::vector<std::vector<BasicBlock>> layers_;  // layer1..layer4
  std::vector<DecoderBlock> decoder_;            // blocks 0..4, the deepest first
  std::optional<nn::HeadConv2d> head_;
};

}  // namespace unet::models
