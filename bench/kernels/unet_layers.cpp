// The layers of a UNet: each pass of each 3x3 convolution by each implementation that can do it, and norm_act, at the
// shapes of base 64, 256x256, N = 2 and of base 32, 128x128, N = 8.
#include <array>

#include "bench/kernels/ceilings.h"
#include "bench/kernels/convolutions.h"
#include "kernels/norm_act.h"
#include "kernels/pixel_linear.h"

namespace unet {
namespace {

using kernels::ConvPass;
using kernels::ConvShape;

struct NormActData {
  explicit NormActData(const benchmark::State& state)
      : N(state.range(0)),
        S(state.range(1)),
        C(state.range(2)),
        pool(state.range(3) != 0),
        dtype(state.range(4) != 0 ? Dtype::bf16 : Dtype::f32) {}
  std::int64_t N, S, C;
  bool pool;
  Dtype dtype;
  Tensor x = filled({N, S, S, C}, dtype), y = filled({N, S, S, C}, dtype), pooled = filled({N, S / 2, S / 2, C}, dtype);
  Tensor dx = filled({N, S, S, C}, dtype);
  Tensor gamma = filled({C}), beta = filled({C}), mean = filled({C}), rstd = filled({C}), variance = filled({C});
  Scratch scratch{kernels::cpu::norm_act_scratch(x.const_view()), {}};
  std::int64_t bytes() const { return static_cast<std::int64_t>(x.bytes()); }
};

/// Statistics and apply: x is read twice, y (and a quarter of it, pooled) written.
void norm_act_forward(benchmark::State& state) {
  NormActData d(state);
  for (auto _ : state) {
    kernels::cpu::batch_statistics(d.x.const_view(), 1e-5, d.mean.view(), d.rstd.view(), d.variance.view(),
                                   d.scratch.data());
    kernels::cpu::norm_act_forward({}, d.x.const_view(), d.gamma.const_view(), d.beta.const_view(), d.mean.const_view(),
                                   d.rstd.const_view(), {}, d.y.view(), d.pool ? d.pooled.view() : kernels::View());
  }
  report_bytes(state, state.iterations() * d.bytes() * (d.pool ? 13 : 12) / 4);
}

/// Reduce and apply: x and dy (and a quarter, dpooled) are read twice, dx written.
void norm_act_backward(benchmark::State& state) {
  NormActData d(state);
  for (auto _ : state) {
    kernels::cpu::norm_act_backward({}, d.x.const_view(), d.gamma.const_view(), d.beta.const_view(),
                                    d.mean.const_view(), d.rstd.const_view(), {}, d.y.const_view(),
                                    d.pool ? d.pooled.const_view() : kernels::ConstView(), d.dx.view(), d.gamma.view(),
                                    d.beta.view(), {}, d.scratch.data());
  }
  report_bytes(state, state.iterations() * d.bytes() * (d.pool ? 22 : 20) / 4);
}

void norm_act_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "side", "C", "pool", "bf16"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const std::int64_t half : {0, 1}) {
    b->Args({2, 256, 64, 0, half})->Args({2, 256, 64, 1, half})->Args({2, 64, 256, 0, half});
    b->Args({8, 128, 32, 0, half})->Args({8, 128, 32, 1, half});
    b->Args({16, 256, 64, 0, half})->Args({16, 256, 64, 1, half});  // larger than any cache
  }
}
BENCHMARK(norm_act_forward)->Apply(norm_act_shapes);
BENCHMARK(norm_act_backward)->Apply(norm_act_shapes);

/// The head, features to logits. Forward reads x and writes y; backward reads x and dy and writes dx.
void pixel_linear(benchmark::State& state, bool backward) {
  const std::int64_t N = state.range(0), S = state.range(1), C = state.range(2), K = 2;
  const Tensor x = filled({N, S, S, C}), y = filled({N, S, S, K}), dx = filled({N, S, S, C});
  const Tensor weights = filled({K, 1, 1, C}), bias = filled({K});
  const Scratch scratch(kernels::cpu::pixel_linear_scratch(x.const_view(), K), {});
  for (auto _ : state) {
    if (backward) {
      kernels::cpu::pixel_linear_backward(x.const_view(), weights.const_view(), y.const_view(), dx.view(),
                                          weights.view(), bias.view(), scratch.data());
    } else {
      kernels::cpu::pixel_linear_forward(x.const_view(), weights.const_view(), bias.const_view(), y.view());
    }
  }
  report_bytes(state, state.iterations() * N * S * S * 4 * (C * (backward ? 2 : 1) + K));
}

void head_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "side", "C"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({2, 256, 64})->Args({8, 128, 32});
}
BENCHMARK_CAPTURE(pixel_linear, forward, false)->Apply(head_shapes);
BENCHMARK_CAPTURE(pixel_linear, backward, true)->Apply(head_shapes);

}  // namespace

void add_unet_convolutions() {
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    for (const auto& [N, side, base] : {std::array<std::int64_t, 3>{2, 256, 64}, {8, 128, 32}}) {
      for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
        const auto add = [pass = pass, dtype = dtype](const ConvShape& s) {
          add_convolution({pass, {.pad = s.Kh / 2}, s, dtype});
        };
        if (pass != ConvPass::backward_data) add({N, side, side, 3, base, 3, 3});
        for (int level = 0; level <= 4; ++level) {
          const std::int64_t S = side >> level, C = base << level;
          add({N, S, S, C, C, 3, 3});
          if (level < 4) add({N, S, S, 2 * C, C, 3, 3});
        }
        add({N, side, side, base, 2, 1, 1});
      }
    }
  }
}

}  // namespace unet
