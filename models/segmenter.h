// The face that every network shows: images in, logits out, and what a program must know before it runs it. Programs
// know networks by this and by their rows of the registry (registry.h) alone.
#pragma once

#include <cstdint>
#include <string>

#include "engine/autograd/tape.h"
#include "models/normalization.h"

namespace unet::models {

/// What a network is asked to be.
struct SegmenterSpec {
  std::int64_t in_channels = 3;
  std::int64_t classes = 2;
  std::int64_t base_channels = 64;  // of the first level
  bool bilinear = false;            // upsample bilinearly (align_corners) instead of by transposed convolutions
  std::string model = "unet";       // its row of the registry
  kernels::NormalizeSpec normalization = imagenet_normalization();
};

/// Where a network computes, and in what.
struct Placement {
  Device device{};
  Dtype dtype = Dtype::f32;        // of the parameters
  Dtype activations = Dtype::f32;  // of normalised images, and so of all that follows from them
  bool bf16_copies = false;        // convolutions read bf16 copies of the parameters: see Parameters
  bool for_training = true;        // false: no memory for gradients, and no parameters but those read from a file
};
/// The same for a network that a file will fill: it begins sooner, with half of the parameters' memory.
inline Placement for_inference(Placement placement) {
  placement.for_training = false;
  return placement;
}

/// Multiply-adds of the convolutions for one image, each counted as the direct method does it.
struct Work {
  double forward = 0;
  double training = 0;  // forward, and both gradients; the first layer's input has none
};

/// Declares its head last: a weight, with as many first as there are classes, and its bias.
class Segmenter {
 public:
  virtual ~Segmenter() = default;

  /// images [N,H,W,in_channels] (normalised) -> logits [N,H,W,classes], f32 or f64; any H, W >= 1: the network pads by
  /// itself and crops again. On a GPU images may have image_channels(in_channels), the further ones 0. Throws Error for
  /// other shapes.
  virtual Var forward(Tape& tape, const Var& images) = 0;

  /// Of one image of this size.
  virtual Work work(std::int64_t height, std::int64_t width) const = 0;
  /// Pixels of one image at the deepest batch norm: with one image and one pixel there is no variance to divide by.
  virtual std::int64_t deepest_pixels(std::int64_t height, std::int64_t width) const = 0;

  const SegmenterSpec& spec() const { return spec_; }
  Dtype activations() const { return activations_; }
  Device device() const { return parameters_.device(); }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

 protected:
  Segmenter(const SegmenterSpec& spec, const Placement& placement);
  /// Throws Error unless images have a shape that forward() takes.
  void require_images(const Var& images) const;

 private:
  SegmenterSpec spec_;
  Dtype activations_;
  Parameters parameters_;
};

/// images u8 [N,H,W,in_channels], on the network's device -> logits [N,H,W,classes]: normalised as its spec says,
/// and with the channels that the device wants.
Var logits(Segmenter& segmenter, Tape& tape, const Tensor& images);

}  // namespace unet::models
