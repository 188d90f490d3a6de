// The layers of a UNet: each pass of each 3x3 convolution by each implementation that can do it, and norm_act, at the
// shapes of base 64, 256x256, N = 2 and of base 32, 128x128, N = 8; and what a ResNet34-UNet has besides, at 256x256,
// N = 4.
#include <fmt/core.h>

#include <array>
#include <string>
#include <vector>

#include "bench/kernels/ceilings.h"
#include "engine/core/tensor.h"
#include "kernels/conv_plan.h"
#include "kernels/head_conv.h"
#include "kernels/max_pool.h"
#include "kernels/norm_act.h"
#include "kernels/pixel_linear.h"
#include "kernels/upsample_nearest.h"

namespace unet {
namespace {

using kernels::ConvCase;
using kernels::ConvPass;
using kernels::ConvShape;

Tensor filled(const Shape& shape, Dtype dtype = Dtype::f32) {
  std::vector<float> values(static_cast<std::size_t>(shape.size()));
  std::uint32_t random = 1;
  for (float& value : values) {
    value = static_cast<float>((random = random * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1.0f;
  }
  return Tensor::of(shape, dtype, values);
}

/// candidate < 0: the automatic choice.
void convolution(benchmark::State& state, const ConvCase& c, int candidate) {
  const ConvShape& s = c.shape;
  const kernels::ConvPlan plan = candidate < 0
                                     ? kernels::cpu::plan_conv(c, kernels::ConvProvider::automatic)
                                     : kernels::cpu::plan_conv_candidates(c)[static_cast<std::size_t>(candidate)];
  const Tensor x = filled({s.N, s.H, s.W, s.Cin}, c.dtype), y = filled({s.N, s.H, s.W, s.Cout}, c.dtype);
  const Tensor w = filled({s.Cout, s.Kh, s.Kw, s.Cin});
  const Scratch workspace(plan.workspace, {});
  kernels::ConvOperands io;
  io.x = x.const_view();
  io.weights = w.const_view();
  io.dy = y.const_view();
  io.y = y.view();
  io.dx = x.view();
  io.dweights = w.view();
  for (auto _ : state) plan.run(io, workspace.data());
  report_flops(state, c.flops());
  state.SetLabel(plan.id);
}

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

void add_convolution(ConvPass pass, const ConvShape& s, Dtype dtype) {
  const ConvCase c{pass, {.pad = s.Kh / 2}, s, dtype};
  const std::string name = fmt::format("conv_{}/N:{}/side:{}/{}->{}{}{}", name_of(pass), s.N, s.H, s.Cin, s.Cout,
                                       s.Kh == 1 ? "/1x1" : "", dtype == Dtype::bf16 ? "/bf16" : "");
  const auto count = static_cast<int>(kernels::cpu::plan_conv_candidates(c).size());
  for (int candidate = -1; candidate < count; ++candidate) {
    benchmark::RegisterBenchmark(
        fmt::format("{}/{}", name, candidate < 0 ? "automatic" : std::to_string(candidate)).c_str(),
        [=](benchmark::State& state) { convolution(state, c, candidate); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace

void add_unet_convolutions() {
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    for (const auto& [N, side, base] : {std::array<std::int64_t, 3>{2, 256, 64}, {8, 128, 32}}) {
      for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
        if (pass != ConvPass::backward_data) add_convolution(pass, {N, side, side, 3, base, 3, 3}, dtype);
        for (int level = 0; level <= 4; ++level) {
          const std::int64_t S = side >> level, C = base << level;
          add_convolution(pass, {N, S, S, C, C, 3, 3}, dtype);
          if (level < 4) add_convolution(pass, {N, S, S, 2 * C, C, 3, 3}, dtype);
        }
        add_convolution(pass, {N, side, side, base, 2, 1, 1}, dtype);
      }
    }
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) add_convolution(pass, {4, 256, 256, 16, 2, 3, 3}, dtype);
  }
}

}  // namespace unet
