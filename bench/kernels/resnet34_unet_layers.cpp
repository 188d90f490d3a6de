// The convolutions of a ResNet34-UNet at 256x256: the stem, a layer of each kind of the encoder, the decoder's pairs.
#include "bench/kernels/convolutions.h"

namespace unet {
namespace {

using kernels::ConvPass;
using kernels::ConvShape;

struct Layer {
  std::int64_t side, Cin, Cout, kernel, stride;
};
constexpr Layer kLayers[] = {{256, 3, 64, 7, 2},   {64, 64, 64, 3, 1},   {64, 64, 128, 3, 2},  {64, 64, 128, 1, 2},
                             {32, 128, 128, 3, 1}, {32, 128, 256, 3, 2}, {32, 128, 256, 1, 2}, {16, 256, 256, 3, 1},
                             {16, 256, 512, 3, 2}, {16, 256, 512, 1, 2}, {8, 512, 512, 3, 1},  {16, 768, 256, 3, 1},
                             {32, 384, 128, 3, 1}, {64, 192, 64, 3, 1},  {128, 128, 32, 3, 1}, {128, 32, 32, 3, 1},
                             {256, 32, 16, 3, 1},  {256, 16, 16, 3, 1}};

}  // namespace

void add_resnet34_unet_convolutions() {
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    for (const std::int64_t N : {1, 4}) {
      for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
        for (const Layer& layer : kLayers) {
          if (layer.Cin == 3 && pass == ConvPass::backward_data) continue;  // an image
          const ConvShape shape{N, layer.side, layer.side, layer.Cin, layer.Cout, layer.kernel, layer.kernel};
          add_convolution({pass, {.stride = layer.stride, .pad = layer.kernel / 2}, shape, dtype});
        }
      }
    }
  }
}

}  // namespace unet
