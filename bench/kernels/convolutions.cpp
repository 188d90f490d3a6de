#include "bench/kernels/convolutions.h"

#include <fmt/core.h>

#include <string>
#include <vector>

#include "bench/kernels/ceilings.h"

namespace unet {
namespace {

using kernels::ConvCase;
using kernels::ConvShape;

/// candidate < 0: the automatic choice.
void convolution(benchmark::State& state, const ConvCase& c, int candidate) {
  const ConvShape& s = c.shape;
  const kernels::ConvPlan plan = candidate < 0
                                     ? kernels::cpu::plan_conv(c, kernels::ConvProvider::automatic)
                                     : kernels::cpu::plan_conv_candidates(c)[static_cast<std::size_t>(candidate)];
  const Tensor x = filled({s.N, s.H, s.W, s.Cin}, c.dtype), y = filled({s.N, c.Ho(), c.Wo(), s.Cout}, c.dtype);
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

}  // namespace

Tensor filled(const Shape& shape, Dtype dtype) {
  std::vector<float> values(static_cast<std::size_t>(shape.size()));
  std::uint32_t random = 1;
  for (float& value : values) {
    value = static_cast<float>((random = random * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1.0f;
  }
  return Tensor::of(shape, dtype, values);
}

void add_convolution(const ConvCase& c) {
  const ConvShape& s = c.shape;
  std::string name = fmt::format("conv_{}/N:{}/side:{}/{}->{}", name_of(c.pass), s.N, s.H, s.Cin, s.Cout);
  if (s.Kh != 3) name += fmt::format("/{}x{}", s.Kh, s.Kw);
  if (c.spec.stride > 1) name += fmt::format("/stride:{}", c.spec.stride);
  if (c.dtype == Dtype::bf16) name += "/bf16";
  const auto count = static_cast<int>(kernels::cpu::plan_conv_candidates(c).size());
  for (int candidate = -1; candidate < count; ++candidate) {
    const std::string which = candidate < 0 ? "automatic" : std::to_string(candidate);
    benchmark::RegisterBenchmark((name + "/" + which).c_str(),
                                 [=](benchmark::State& state) { convolution(state, c, candidate); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace unet
