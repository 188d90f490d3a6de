// Training steps of small UNets on a device, as train_unet takes them.
#pragma once

#include "tests/models/unet_support.h"
#include "tests/support/needs_device.h"

namespace unet::test {

inline constexpr int kSteps = 5;
inline constexpr double kLr = 1e-4;

struct Case {
  std::string name;
  models::SegmenterSpec spec;
  Loss loss;
  std::int64_t N, H, W;
};

inline void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

struct Batch {
  Tensor images, labels;  // u8, on the host
};

inline Batch batch_of(const Case& c) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(c.N * c.H * c.W * c.spec.in_channels));
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::uint8_t>(random_bits(5, Purpose::test, i));
  return {Tensor::of({c.N, c.H, c.W, c.spec.in_channels}, Dtype::u8, pixels),
          random_labels(c.N, c.H, c.W, static_cast<int>(c.spec.classes), 9)};
}

/// One step from the u8 images, as train_unet does it; the result is left to be taken.
inline void issue(models::Segmenter& model, Step& step, Loss loss, const Batch& batch, Dtype activations,
                  double clip_norm = 0) {
  const Device device = model.parameters().device();
  const Tensor labels = batch.labels.to(device);
  step.begin({.lr = kLr, .clip_norm = clip_norm});
  Tape tape;
  const Var images =
      normalize_images(tape, batch.images.to(device), imagenet_normalization(), image_channels(3, device), activations);
  step.backward(tape, loss_of(tape, loss, model.forward(tape, images), labels));
  step.commit();
}

inline const Case kSmall{"small", {3, 2, 2, false}, Loss::cross_entropy, 1, 16, 16};

}  // namespace unet::test
