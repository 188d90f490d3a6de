// The convolutions of a ResNet34-UNet at 256x256: the stem, a layer of each kind of the encoder, the decoder's pairs;
// and its pool, upsampling and head.
#include "bench/kernels/ceilings.h"
#include "bench/kernels/convolutions.h"
#include "kernels/head_conv.h"
#include "kernels/max_pool.h"
#include "kernels/upsample_nearest.h"

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

/// The 3x3 head. Forward reads x and writes y; dx reads dy and writes dx; dweights reads x and dy.
void head_conv(benchmark::State& state, ConvPass pass) {
  const std::int64_t N = state.range(0), S = state.range(1), C = state.range(2), K = state.range(3);
  const Dtype dtype = state.range(4) != 0 ? Dtype::bf16 : Dtype::f32;
  const Tensor x = filled({N, S, S, C}, dtype), y = filled({N, S, S, K}), dx = filled({N, S, S, C}, dtype);
  const Tensor weights = filled({K, 3, 3, C}), bias = filled({K});
  const Scratch scratch(kernels::cpu::head_conv_scratch(x.const_view(), K), {});
  for (auto _ : state) {
    if (pass == ConvPass::forward) {
      kernels::cpu::head_conv_forward(x.const_view(), weights.const_view(), bias.const_view(), y.view());
    } else {
      kernels::cpu::head_conv_backward(x.const_view(), weights.const_view(), y.const_view(),
                                       pass == ConvPass::backward_data ? dx.view() : kernels::View(),
                                       pass == ConvPass::backward_data ? kernels::View() : weights.view(),
                                       scratch.data());
    }
  }
  report_bytes(state, state.iterations() * static_cast<std::int64_t>(x.bytes() + y.bytes()));
}

void head_conv_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "side", "C", "K", "bf16"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({4, 256, 16, 2, 0})->Args({4, 256, 16, 2, 1})->Args({4, 256, 16, 12, 0})->Args({4, 256, 4, 2, 0});
}
BENCHMARK_CAPTURE(head_conv, forward, ConvPass::forward)->Apply(head_conv_shapes);
BENCHMARK_CAPTURE(head_conv, dx, ConvPass::backward_data)->Apply(head_conv_shapes);
BENCHMARK_CAPTURE(head_conv, dweights, ConvPass::backward_weights)->Apply(head_conv_shapes);

/// Forward reads x and writes y, a quarter of it; backward reads both and writes dx. x: half of a concatenation, or
/// whole.
void max_pool(benchmark::State& state, bool backward) {
  const std::int64_t N = state.range(0), S = state.range(1), C = state.range(2), kernel = state.range(3);
  const Dtype dtype = state.range(5) != 0 ? Dtype::bf16 : Dtype::f32;
  const kernels::PoolSpec spec{kernel, 2, kernel - 2};
  const Tensor cat = filled({N, S, S, state.range(4) != 0 ? 2 * C : C}, dtype), x = cat.slice(0, C);
  const Tensor y = filled({N, S / 2, S / 2, C}, dtype), dx = filled({N, S, S, C}, dtype);
  for (auto _ : state) {
    if (backward) {
      kernels::cpu::max_pool_backward(spec, x.const_view(), y.const_view(), dx.view());
    } else {
      kernels::cpu::max_pool_forward(spec, x.const_view(), y.view());
    }
  }
  report_bytes(state, state.iterations() * static_cast<std::int64_t>(dx.bytes()) * (backward ? 9 : 5) / 4);
}

void max_pool_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "side", "C", "kernel", "slice", "bf16"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({4, 128, 64, 2, 0, 0})->Args({4, 128, 64, 3, 0, 0})->Args({4, 128, 64, 3, 1, 0})->Args({4, 128, 64, 3, 0, 1});
}
BENCHMARK_CAPTURE(max_pool, forward, false)->Apply(max_pool_shapes);
BENCHMARK_CAPTURE(max_pool, backward, true)->Apply(max_pool_shapes);

/// The large image is a slice of a concatenation twice as wide.
void upsample_nearest(benchmark::State& state, bool backward) {
  const std::int64_t N = state.range(0), S = state.range(1), C = state.range(2);
  const Dtype dtype = state.range(3) != 0 ? Dtype::bf16 : Dtype::f32;
  const Tensor x = filled({N, S, S, C}, dtype), cat = filled({N, 2 * S, 2 * S, 2 * C}, dtype), y = cat.slice(0, C);
  for (auto _ : state) {
    if (backward) {
      kernels::cpu::upsample_nearest_backward(y.const_view(), x.view());
    } else {
      kernels::cpu::upsample_nearest_forward(x.const_view(), y.view());
    }
  }
  report_bytes(state, state.iterations() * static_cast<std::int64_t>(x.bytes()) * 5);
}

void upsample_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "side", "C", "bf16"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({4, 64, 64, 0})->Args({4, 16, 256, 0})->Args({4, 128, 32, 0})->Args({4, 128, 32, 1});
}
BENCHMARK_CAPTURE(upsample_nearest, forward, false)->Apply(upsample_shapes);
BENCHMARK_CAPTURE(upsample_nearest, backward, true)->Apply(upsample_shapes);

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
