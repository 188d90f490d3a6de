// The narrow ResNet34-UNet that PyTorch recorded (generate_resnet34_unet_parity.py), with its initial weights and its
// batches: those of the UNet's record, twice as large by repetition and cut.
#pragma once

#include "models/resnet34_unet.h"
#include "tests/models/recorded_unet.h"

namespace unet::test {

inline const Record& resnet() {
  static const Record instance(places::source("tests/models/resnet34_unet_parity.safetensors"));
  return instance;
}

class RecordedResNet34UNet : public models::ResNet34UNet {
 public:
  explicit RecordedResNet34UNet(Dtype dtype, Device device = {})
      : ResNet34UNet({.classes = 3, .base_channels = 4}, 0, {.device = device, .dtype = dtype}) {
    load_recorded(resnet(), "initial/", parameters());
  }
};

inline RecordedBatch large_batch(int b, Dtype dtype, Device device = {}) {
  constexpr std::int64_t kHeight = 90, kWidth = 60;
  const RecordedBatch small = batch(b, dtype);
  const Shape& s = small.images.shape();
  const std::vector<double> x = small.images.values<double>(), l = small.labels.values<double>();
  std::vector<double> images, labels;
  for (std::int64_t n = 0; n < s[0]; ++n) {
    for (std::int64_t h = 0; h < kHeight; ++h) {
      for (std::int64_t w = 0; w < kWidth; ++w) {
        const auto at = static_cast<std::size_t>((n * s[1] + h / 2) * s[2] + w / 2);
        labels.push_back(l[at]);
        for (std::size_t c = 0; c < 3; ++c) images.push_back(x[3 * at + c]);
      }
    }
  }
  return {Tensor::of({s[0], kHeight, kWidth, 3}, dtype, images).to(device),
          Tensor::of({s[0], kHeight, kWidth}, Dtype::u8, labels).to(device)};
}

/// As the record holds large tensors: in PyTorch's order, every k-th element, k = 1 + elements / 1024.
inline std::vector<double> sampled(const Shape& s, const std::vector<double>& values) {
  const bool weight = s.rank() == 4;
  const std::int64_t taps = weight ? s[1] * s[2] : 1, B = weight ? s[3] : 1, k = 1 + s.size() / 1024;
  std::vector<double> out;
  for (std::int64_t i = 0; i < s.size(); i += k) {
    const std::int64_t a = i / (taps * B), b = i / taps % B, tap = i % taps;
    out.push_back(values[static_cast<std::size_t>((a * taps + tap) * B + b)]);
  }
  return out;
}

inline std::vector<double> sampled(const Tensor& tensor) { return sampled(tensor.shape(), tensor.values<double>()); }

}  // namespace unet::test
