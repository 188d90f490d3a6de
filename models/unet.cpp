#include "models/unet.h"

#include <array>
#include <cmath>
#include <utility>

#include "engine/core/error.h"

namespace unet::models {

namespace {

/// Nothing if there is none of that name.
const TensorInfo* convolution(const WeightsFile& weights, const std::string& name) {
  const TensorInfo* info = weights.find(name);
  if (info != nullptr && info->shape.size() != 4) {
    throw Error("{}: holds no unet: the shape of \"{}\" is not that of a convolution", weights.file.path().string(),
                name);
  }
  return info;
}

}  // namespace

std::optional<SegmenterSpec> recognize_unet(const WeightsFile& weights) {
  // The rest of the network grows with the deepest, which is in the file: no small file asks for a large network.
  const std::string deepest = "down4.maxpool_conv.1.double_conv.0.weight";     // [16 or, bilinear, 8 base, 8 base,3,3]
  const TensorInfo* first = convolution(weights, "inc.double_conv.0.weight");  // [base,in,3,3]
  const TensorInfo* bottom = convolution(weights, deepest);
  const TensorInfo* head = convolution(weights, "outc.conv.weight");  // [classes,base,1,1]
  if (first == nullptr && bottom == nullptr && head == nullptr) return std::nullopt;
  if (first == nullptr || bottom == nullptr || head == nullptr) {
    throw Error("{}: holds no whole unet: tensor \"{}\" is missing", weights.file.path().string(),
                first == nullptr    ? "inc.double_conv.0.weight"
                : bottom == nullptr ? deepest
                                    : "outc.conv.weight");
  }
  SegmenterSpec spec;
  spec.model = "unet";
  spec.base_channels = first->shape[0];
  spec.in_channels = first->shape[1];
  spec.classes = head->shape[0];
  spec.bilinear = weights.find("up1.up.weight") == nullptr;
  constexpr std::int64_t kMost = 1 << 16;
  for (const std::int64_t size : {spec.base_channels, spec.in_channels, spec.classes}) {
    if (size < 1 || size > kMost) {
      throw Error("{}: holds no unet that can be: {} base channels, {} input channels, {} classes",
                  weights.file.path().string(), spec.base_channels, spec.in_channels, spec.classes);
    }
  }
  if (bottom->shape[1] != 8 * spec.base_channels || bottom->shape[0] < bottom->shape[1]) {
    throw Error("{}: holds no unet: with {} base channels \"{}\" would have {} input channels, it has {}",
                weights.file.path().string(), spec.base_channels, deepest, 8 * spec.base_channels, bottom->shape[1]);
  }
  return spec;
}

double unet_inference_bytes(const SegmenterSpec& spec, std::int64_t N, std::int64_t height, std::int64_t width,
                            Dtype dtype) {
  // The last level: the joined features of twice the width, beside two convolutions' outputs and the images as they
  // came and normalised. What convolutions need to work comes on top.
  const double features = 4 * static_cast<double>(spec.base_channels) * static_cast<double>(kernels::size_of(dtype));
  const double images = static_cast<double>(spec.in_channels) * (1 + static_cast<double>(kernels::size_of(dtype)));
  return static_cast<double>(N) * static_cast<double>(height) * static_cast<double>(width) * (features + images);
}

UNet::DoubleConv::DoubleConv(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t middle,
                             std::int64_t Cout)
    : first(parameters, name + ".double_conv.0", name + ".double_conv.1", Cin, middle),
      second(parameters, name + ".double_conv.3", name + ".double_conv.4", middle, Cout) {}

UNet::UNet(const SegmenterSpec& spec, std::uint64_t seed, const Placement& placement) : Segmenter(spec, placement) {
  if (spec.bilinear && spec.base_channels % 2 != 0) {
    throw Error("unet: base_channels must be even with bilinear upsampling, got {}", spec.base_channels);
  }
  std::int64_t channels = spec.in_channels;
  for (int level = 0; level < kDepth; ++level) {
    width_.push_back(spec.base_channels << level);
    const std::string name = level == 0 ? "inc" : fmt::format("down{}.maxpool_conv.1", level);
    down_.emplace_back(parameters(), name, channels, width_[level], width_[level]);
    channels = width_[level];
  }
  const std::int64_t bottom = (spec.base_channels << kDepth) / (spec.bilinear ? 2 : 1);
  down_.emplace_back(parameters(), fmt::format("down{}.maxpool_conv.1", kDepth), channels, bottom, bottom);

  channels = bottom;
  for (int level = kDepth - 1; level >= 0; --level) {
    const std::string name = fmt::format("up{}", kDepth - level);
    const std::int64_t wide = 2 * width_[level];  // [skip, up]
    up_.emplace_back();
    if (!spec.bilinear) up_.back().emplace(parameters(), name + ".up", channels, width_[level]);
    channels = spec.bilinear && level > 0 ? width_[level] / 2 : width_[level];
    merge_.emplace_back(parameters(), name + ".conv", wide, width_[level], channels);
  }
  head_.emplace(parameters(), "outc.conv", channels, spec.classes);
  parameters().initialize(seed);
}

Work UNet::work(std::int64_t height, std::int64_t width) const {
  // Of the input of the convolution: a transposed one uses its weight once for each of these pixels, too.
  const auto level_of = [](const std::string& name) {
    if (name.starts_with("down")) return name[4] - '0';
    if (name.starts_with("up")) return kDepth - (name[2] - '0') + (name.substr(4, 2) == "up" ? 1 : 0);
    return 0;
  };
  const double deepest = static_cast<double>(deepest_pixels(height, width));
  double sum = 0;
  for (const Parameters::Param& param : parameters().params()) {
    if (param.shape.rank() != 4) continue;
    sum += static_cast<double>(param.shape.size()) * std::ldexp(deepest, 2 * (kDepth - level_of(param.name)));
  }
  const double first =
      static_cast<double>(parameters().params().front().shape.size()) * std::ldexp(deepest, 2 * kDepth);
  return {sum, 3 * sum - first};
}

std::int64_t UNet::deepest_pixels(std::int64_t height, std::int64_t width) const {
  constexpr std::int64_t kStep = 1 << kDepth;
  return ((height + kStep - 1) / kStep) * ((width + kStep - 1) / kStep);
}

Var UNet::forward(Tape& tape, const Var& images) {
  require_images(images);
  const std::int64_t height = images.shape()[1], width = images.shape()[2];
  constexpr std::int64_t kStep = 1 << kDepth;
  Var x = pad_or_crop(tape, images, (height + kStep - 1) / kStep * kStep, (width + kStep - 1) / kStep * kStep);

  // Each level's features are written straight into the left half of the tensor that the decoder reads, and the
  // upsampled ones into the right half: concatenation costs nothing, forward or backward.
  // Between the convolutions of a pair. Where features are widest a pass more is worth their memory on a GPU, too.
  const auto between = [](int level) {
    nn::ConvNormAct::Options out;
    out.recompute = level < 2;
    return out;
  };
  std::array<Tensor, kDepth> cat;
  std::array<Var, kDepth> skip;
  for (int level = 0; level < kDepth; ++level) {
    const std::int64_t C = width_[level];
    const Shape& s = x.shape();
    cat[level] = Tensor::empty({s[0], s[1], s[2], 2 * C}, x.value.dtype(), x.value.device());
    nn::ConvNormAct::Options options;
    x = down_[level].first.forward(tape, std::move(x), between(level)).y;  // [N,H,W,C]
    options.out = cat[level].slice(0, C);
    options.pool = true;
    const NormActResult second = down_[level].second.forward(tape, std::move(x), options);
    skip[level] = second.y;  // [N,H,W,C]
    x = second.pooled;       // [N,H/2,W/2,C]
  }
  x = down_[kDepth].first.forward(tape, std::move(x));
  x = down_[kDepth].second.forward(tape, std::move(x));  // [N,H/16,W/16,bottom]
  for (int level = kDepth - 1; level >= 0; --level) {
    const int step = kDepth - 1 - level;
    const std::int64_t C = width_[level];
    const Tensor right = cat[level].slice(C, 2 * C);
    const Var up = up_[step] ? up_[step]->forward(tape, x, right) : upsample_bilinear(tape, x, true, right);
    x = join(tape, cat[level], {skip[level], up});  // [N,H,W,2C]
    cat[level] = Tensor();
    skip[level] = Var();
    x = merge_[step].first.forward(tape, std::move(x), between(level)).y;
    x = merge_[step].second.forward(tape, std::move(x));  // [N,H,W,C], half of it if bilinear
  }
  return pad_or_crop(tape, head_->forward(tape, x), height, width);  // [N,height,width,classes]
}

}  // namespace unet::models
