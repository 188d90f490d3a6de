// U-Net (Ronneberger, Fischer & Brox 2015, figure 1) as it is trained today: batch-normalised, same padding, four
// levels. Names and disk shapes are those of the milesial UNet, so its checkpoints load here and ours load there.
#pragma once

#include <optional>
#include <vector>

#include "engine/nn/layers.h"

namespace unet::models {

struct UNetSpec {
  std::int64_t in_channels = 3;
  std::int64_t classes = 2;
  std::int64_t base_channels = 64;
  bool bilinear = false;  // upsample bilinearly (align_corners) instead of by transposed convolutions
};

/// Bytes that a forward pass without gradients holds at its peak, within a factor of two and never too many: N images
/// [height,width], activations of `dtype`. (A double: sizes from a file may be beyond any integer.)
double inference_bytes(const UNetSpec& spec, std::int64_t N, std::int64_t height, std::int64_t width, Dtype dtype);

class UNet {
 public:
  /// Parameters are drawn from the seed as PyTorch's defaults would be. Throws Error for a spec that makes no network.
  /// with_copies: see Parameters.
  explicit UNet(const UNetSpec& spec, std::uint64_t seed = 0, Dtype dtype = Dtype::f32, Device device = {},
                bool with_copies = false);

  /// images [N,H,W,in_channels] (normalised) -> logits [N,H,W,classes]; any H, W >= 1: padded with zeros to multiples
  /// of 16 inside, and cropped again. On a GPU images may have image_channels(in_channels), the further ones 0.
  Var forward(Tape& tape, const Var& images);

  const UNetSpec& spec() const { return spec_; }

  /// Multiply-adds of the convolutions for one image of this size, each counted as the direct method does it.
  struct Work {
    double forward = 0;
    double training = 0;  // forward, and both gradients; the first layer's input has none
  };
  Work work(std::int64_t height, std::int64_t width) const;

  /// Pixels of one image at the deepest batch norm: with one image and one pixel there is no variance to divide by.
  static std::int64_t deepest_pixels(std::int64_t height, std::int64_t width);
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  static constexpr int kDepth = 4;

  /// (convolution, batch norm, ReLU) twice: [N,H,W,Cin] -> [N,H,W,middle] -> [N,H,W,Cout].
  struct DoubleConv {
    DoubleConv(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t middle,
               std::int64_t Cout);
    nn::ConvNormAct first, second;
  };

  UNetSpec spec_;
  Parameters parameters_;
  std::vector<std::int64_t> width_;                     // channels of the skip connection at each level, top first
  std::vector<DoubleConv> down_;                        // levels 0..kDepth-1, then the bottom
  std::vector<std::optional<nn::ConvTranspose2d>> up_;  // levels kDepth-1..0; empty if bilinear
  std::vector<DoubleConv> merge_;                       // levels kDepth-1..0
  std::optional<nn::PixelLinear> head_;
};

}  // namespace unet::models
