// The small UNets that PyTorch recorded (generate_unet_parity.py), with their batches and initial weights.
#pragma once

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

/// The recorded small UNet with its initial weights.
class RecordedUNet {
 public:
  RecordedUNet(const std::string& variant, Dtype dtype, Device device = {})
      : model_(spec(variant), 0, {.device = device, .dtype = dtype}) {
    load_recorded(record(), variant + "/initial/", model_.parameters());
  }
  models::UNet& model() { return model_; }

 private:
  static models::SegmenterSpec spec(const std::string& variant) {
    return {3, record().info(variant + "/logits").shape[1], 2, variant == "bilinear"};
  }
  models::UNet model_;
};

}  // namespace unet::test
