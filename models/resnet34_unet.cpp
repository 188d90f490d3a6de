#include "models/resnet34_unet.h"

#include <array>
#include <cmath>

#include "engine/core/error.h"

namespace unet::models {
namespace {

constexpr int kDepth = 5;  // halvings
constexpr std::int64_t kStep = 1 << kDepth;
constexpr std::array<int, 4> kBlocks{3, 4, 6, 3};  // of layer1..layer4

std::int64_t channels_of_layer(std::int64_t base, int layer) { return base << layer; }  // layer 0..3

/// Of the skip that decoder block 0..4 joins; the last has none.
std::int64_t skip_channels(std::int64_t base, int block) {
  if (block == kDepth - 1) return 0;
  return block == kDepth - 2 ? base : channels_of_layer(base, 2 - block);
}
std::int64_t decoder_channels(std::int64_t base, int block) { return 4 * base >> block; }

nn::ConvNormAct encoder_conv(Parameters& parameters, const std::string& conv, const std::string& norm, std::int64_t Cin,
                             std::int64_t Cout, std::int64_t kernel, std::int64_t stride) {
  return {parameters, conv, norm, Cin, Cout, kernel, stride, nn::kaiming_normal(Cout * kernel * kernel)};
}

nn::ConvNormAct decoder_conv(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t Cout) {
  return {parameters, name + ".0", name + ".1", Cin, Cout, 3, 1, nn::kaiming_uniform(Cin * 9)};
}

/// Of the output of the convolution of that name, as a halving count.
int level_of(const std::string& name) {
  if (name.starts_with("encoder.layer")) return name[13] - '0' + 1;  // encoder.layer1: a quarter of the image
  if (name.starts_with("encoder.")) return 1;
  if (name.starts_with("decoder.blocks.")) return kDepth - 1 - (name[15] - '0');
  return 0;
}

}  // namespace

std::optional<SegmenterSpec> recognize_resnet34_unet(const WeightsFile& weights) {
  // The widest layer is in the file: no small file asks for a large network.
  constexpr std::array<const char*, 4> kNames{
      "encoder.conv1.weight",             // [base,in,7,7]
      "encoder.layer4.2.conv2.weight",    // [8 base,8 base,3,3]
      "decoder.blocks.0.conv1.0.weight",  // [4 base,12 base,3,3]
      "segmentation_head.0.weight",       // [classes,base/4,3,3]
  };
  std::array<const TensorInfo*, 4> found{};
  for (std::size_t i = 0; i < found.size(); ++i) found[i] = weights.find(kNames[i]);
  if (found[0] == nullptr || found[3] == nullptr) return std::nullopt;
  const std::string file = weights.file.path().string();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] == nullptr) throw Error("{}: holds no whole resnet34_unet: tensor \"{}\" is missing", file, kNames[i]);
    if (found[i]->shape.size() != 4) {
      throw Error("{}: holds no resnet34_unet: the shape of \"{}\" is not that of a convolution", file, kNames[i]);
    }
  }
  SegmenterSpec spec;
  spec.model = "resnet34_unet";
  spec.base_channels = found[0]->shape[0];
  spec.in_channels = found[0]->shape[1];
  spec.classes = found[3]->shape[0];
  constexpr std::int64_t kMost = 1 << 16;
  for (const std::int64_t size : {spec.base_channels, spec.in_channels, spec.classes}) {
    if (size < 1 || size > kMost) {
      throw Error("{}: holds no resnet34_unet that can be: {} base channels, {} input channels, {} classes", file,
                  spec.base_channels, spec.in_channels, spec.classes);
    }
  }
  const std::array<std::array<std::int64_t, 2>, 4> wanted{{{spec.base_channels, spec.in_channels},
                                                           {8 * spec.base_channels, 8 * spec.base_channels},
                                                           {4 * spec.base_channels, 12 * spec.base_channels},
                                                           {spec.classes, spec.base_channels / 4}}};
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i]->shape[0] == wanted[i][0] && found[i]->shape[1] == wanted[i][1]) continue;
    throw Error("{}: holds no resnet34_unet: with {} base channels \"{}\" would be {}x{}, it is {}x{}", file,
                spec.base_channels, kNames[i], wanted[i][0], wanted[i][1], found[i]->shape[0], found[i]->shape[1]);
  }
  return spec;
}

double resnet34_unet_inference_bytes(const SegmenterSpec& spec, std::int64_t N, std::int64_t height, std::int64_t width,
                                     Dtype dtype) {
  // The last block: half of base channels upsampled to the whole image, a quarter that its first convolution makes of
  // them, and as much again of the 2.25 times both that Winograd needs for it; beside the images as they came and
  // normalised.
  const auto size = static_cast<double>(kernels::size_of(dtype));
  const double features = 1.5 * static_cast<double>(spec.base_channels) * size;
  const double images = static_cast<double>(spec.in_channels) * (1 + size);
  return static_cast<double>(N) * static_cast<double>(height) * static_cast<double>(width) * (features + images);
}

ResNet34UNet::BasicBlock::BasicBlock(Parameters& parameters, const std::string& name, std::int64_t Cin,
                                     std::int64_t Cout, std::int64_t stride)
    : first(encoder_conv(parameters, name + ".conv1", name + ".bn1", Cin, Cout, 3, stride)),
      second(encoder_conv(parameters, name + ".conv2", name + ".bn2", Cout, Cout, 3, 1)) {
  if (stride == 1 && Cin == Cout) return;
  downsample.emplace(encoder_conv(parameters, name + ".downsample.0", name + ".downsample.1", Cin, Cout, 1, stride));
}

Var ResNet34UNet::BasicBlock::forward(Tape& tape, const Var& x, const Tensor& out) const {
  nn::ConvNormAct::Options shortcut, sum;
  shortcut.relu = false;
  Var h = first.forward(tape, x);
  sum.residual = downsample ? downsample->forward(tape, x, shortcut).y : x;
  sum.out = out;
  return second.forward(tape, std::move(h), sum).y;
}

ResNet34UNet::DecoderBlock::DecoderBlock(Parameters& parameters, const std::string& name, std::int64_t Cin,
                                         std::int64_t Cout)
    : first(decoder_conv(parameters, name + ".conv1", Cin, Cout)),
      second(decoder_conv(parameters, name + ".conv2", Cout, Cout)) {}

ResNet34UNet::ResNet34UNet(const SegmenterSpec& spec, std::uint64_t seed, const Placement& placement)
    : Segmenter(spec, placement) {
  const std::int64_t base = spec.base_channels;
  if (base % 4 != 0) throw Error("resnet34_unet: base_channels must be a multiple of 4, got {}", base);
  if (spec.bilinear) throw Error("resnet34_unet: it has no bilinear upsampling, leave it out");
  parameters().begin_group("encoder");
  stem_.emplace(encoder_conv(parameters(), "encoder.conv1", "encoder.bn1", spec.in_channels, base, 7, 2));
  std::int64_t channels = base;
  for (int layer = 0; layer < 4; ++layer) {
    layers_.emplace_back();
    for (int block = 0; block < kBlocks[static_cast<std::size_t>(layer)]; ++block) {
      const std::int64_t stride = layer > 0 && block == 0 ? 2 : 1;
      layers_.back().emplace_back(parameters(), fmt::format("encoder.layer{}.{}", layer + 1, block), channels,
                                  channels_of_layer(base, layer), stride);
      channels = channels_of_layer(base, layer);
    }
  }
  parameters().begin_group("decoder");
  for (int block = 0; block < kDepth; ++block) {
    decoder_.emplace_back(parameters(), fmt::format("decoder.blocks.{}", block), channels + skip_channels(base, block),
                          decoder_channels(base, block));
    channels = decoder_channels(base, block);
  }
  head_.emplace(parameters(), "segmentation_head.0", channels, spec.classes);
  parameters().initialize(seed);
}

Work ResNet34UNet::work(std::int64_t height, std::int64_t width) const {
  const double deepest = static_cast<double>(deepest_pixels(height, width));
  double sum = 0;
  const auto of = [&](const Parameters::Param& param) {
    return static_cast<double>(param.shape.size()) * std::ldexp(deepest, 2 * (kDepth - level_of(param.name)));
  };
  for (const Parameters::Param& param : parameters().params()) {
    if (param.shape.rank() == 4) sum += of(param);
  }
  return {sum, 3 * sum - of(parameters().params().front())};
}

std::int64_t ResNet34UNet::deepest_pixels(std::int64_t height, std::int64_t width) const {
  return ((height + kStep - 1) / kStep) * ((width + kStep - 1) / kStep);
}

Var ResNet34UNet::forward(Tape& tape, const Var& images) {
  require_images(images);
  const std::int64_t height = images.shape()[1], width = images.shape()[2], base = spec().base_channels;
  Var x = pad_or_crop(tape, images, (height + kStep - 1) / kStep * kStep, (width + kStep - 1) / kStep * kStep);
  const Shape full = x.shape();

  // Each skip is written straight into the right part of the tensor that its decoder block reads, and the upsampled
  // features into the left: concatenation costs nothing, forward or backward.
  std::array<Tensor, kDepth> cat;
  std::array<Var, kDepth> skip;
  const auto up_channels = [&](int block) { return block == 0 ? 8 * base : decoder_channels(base, block - 1); };
  const auto skip_of = [&](int block) {
    const std::int64_t left = up_channels(block), right = skip_channels(base, block);
    const std::int64_t step = std::int64_t{1} << (kDepth - 1 - block);
    cat[block] =
        Tensor::empty({full[0], full[1] / step, full[2] / step, left + right}, x.value.dtype(), x.value.device());
    return right > 0 ? cat[block].slice(left, left + right) : Tensor();
  };
  nn::ConvNormAct::Options stem;
  stem.out = skip_of(kDepth - 2);
  skip[kDepth - 2] = stem_->forward(tape, x, stem).y;                            // [N,H/2,W/2,base]
  x = max_pool2d(tape, skip[kDepth - 2], {.kernel = 3, .stride = 2, .pad = 1});  // [N,H/4,W/4,base]
  for (int layer = 0; layer < 4; ++layer) {
    const std::vector<BasicBlock>& blocks = layers_[static_cast<std::size_t>(layer)];
    for (const BasicBlock& block : blocks) {
      const bool last = &block == &blocks.back();
      x = block.forward(tape, x, last && layer < 3 ? skip_of(2 - layer) : Tensor());
    }
    if (layer < 3) skip[2 - layer] = x;  // [N,H/4,W/4,base], halved and doubled with each layer
  }
  for (int block = 0; block < kDepth; ++block) {
    const Var up = block == kDepth - 1 ? upsample_nearest(tape, x)
                                       : upsample_nearest(tape, x, cat[block].slice(0, up_channels(block)));
    x = skip[block].defined() ? join(tape, cat[block], {up, skip[block]}) : up;
    cat[block] = Tensor();
    skip[block] = Var();
    x = decoder_[static_cast<std::size_t>(block)].first.forward(tape, std::move(x));
    x = decoder_[static_cast<std::size_t>(block)].second.forward(tape, std::move(x));
  }
  return pad_or_crop(tape, head_->forward(tape, x), height, width);  // [N,height,width,classes]
}

}  // namespace unet::models
