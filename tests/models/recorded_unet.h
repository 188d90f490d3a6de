// The small UNets that PyTorch recorded (generate_unet_parity.py), with their batches and initial weights.
#pragma once

#include "engine/core/device_memory.h"
#include "tests/models/unet_support.h"
#include "tests/support/places.h"

namespace unet::test {

inline const Record& record() {
  static const Record instance(places::source("tests/models/unet_parity.safetensors"));
  return instance;
}

struct RecordedBatch {
  Tensor images, labels;
};

/// Batch b of the record; images are (u8 - 128) / 64, exact in any float dtype.
inline RecordedBatch batch(int b, Dtype dtype, Device device = {}) {
  static const std::vector<double> images = record().values("images");
  static const std::vector<double> labels = record().values("labels");
  const std::vector<std::int64_t>& shape = record().info("images").shape;  // [4,N,H,W,3]
  const std::int64_t N = shape[1], H = shape[2], W = shape[3], pixels = N * H * W;
  std::vector<double> x(images.begin() + b * pixels * 3, images.begin() + (b + 1) * pixels * 3);
  for (double& value : x) value = (value - 128) / 64;
  const std::vector<double> l(labels.begin() + b * pixels, labels.begin() + (b + 1) * pixels);
  return {Tensor::of({N, H, W, 3}, dtype, x).to(device), Tensor::of({N, H, W}, Dtype::u8, l).to(device)};
}

inline ParamId id_of(std::size_t i) { return {static_cast<int>(i)}; }

/// The recorded small UNet with its initial weights.
class RecordedUNet {
 public:
  RecordedUNet(const std::string& variant, Dtype dtype, Device device = {})
      : model_(spec(variant), 0, {.device = device, .dtype = dtype}) {
    const Parameters& parameters = model_.parameters();
    for (std::size_t i = 0; i < parameters.params().size(); ++i) {
      const std::string& name = parameters.params()[i].name;
      const std::vector<double> values = record().values(variant + "/initial/" + name);
      const Tensor value = parameters.value(id_of(i));
      if (static_cast<std::int64_t>(values.size()) != value.size()) throw Error("\"{}\" has another size", name);
      const Tensor rounded = Tensor::of(value.shape(), dtype, values);
      upload(value.data<void>(), device, rounded.data<void>(), rounded.bytes());
    }
  }
  models::UNet& model() { return model_; }

 private:
  static models::SegmenterSpec spec(const std::string& variant) {
    return {3, record().info(variant + "/logits").shape[1], 2, variant == "bilinear"};
  }
  models::UNet model_;
};

}  // namespace unet::test
