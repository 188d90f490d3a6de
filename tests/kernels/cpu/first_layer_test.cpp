// The first layer's kernels against f64, with guard zones and poisoned outputs and workspaces.
#include "kernels/cpu/first_layer_conv.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "tests/kernels/cpu/conv3x3.h"
#include "tests/kernels/cpu/conv_reference.h"

namespace unet::test::first_layer_test {
namespace {

using namespace kernels;
using kernels::cpu::Isa;

const Conv3x3 kCases[] = {{1, 1, 1, 1, 1},    {2, 5, 7, 3, 16},  {1, 33, 31, 3, 64},
                          {2, 1, 5, 4, 17},   {3, 7, 1, 2, 33},  {1, 9, 130, 3, 100},
                          {2, 17, 19, 3, 32}, {1, 70, 6, 1, 48}, {1, 8, 12, 4, 130}};
constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::backward_weights};

struct Trial {
  Conv3x3 c;
  ConvPass pass;
  Buffer x, dy, weights, bias, out;

  Trial(const Conv3x3& shape, ConvPass p, Dtype dtype, std::int64_t extra_pitch = 0)
      : c(shape),
        pass(p),
        x(dtype, {c.N, c.H, c.W, c.Cin}, extra_pitch),
        dy(dtype, {c.N, c.H, c.W, c.Cout}, extra_pitch),
        weights(Dtype::f32, {c.Cout, 3, 3, c.Cin}),
        bias(Dtype::f32, {1, 1, 1, c.Cout}),
        out(p == ConvPass::forward ? Buffer(dtype, {c.N, c.H, c.W, c.Cout}, extra_pitch)
                                   : Buffer(Dtype::f32, {c.Cout, 3, 3, c.Cin})) {
    fill_normal(x, 1);
    fill_normal(dy, 2);
    fill_normal(weights, 3);
    fill_normal(bias, 4);
  }
  ConvPlan plan(ConvSpec spec, Isa set) const { return cpu::first_layer_plan({pass, spec, c.shape(), x_dtype()}, set); }
  Dtype x_dtype() const { return x.view().dtype; }
  /// Runs and checks the guards.
  void run(ConvSpec spec, Isa set) {
    ConvOperands io;
    io.x = x.view();
    if (pass == ConvPass::forward) {
      io.weights = weights.view();
      io.bias = bias.view();
      io.y = out.view();
    } else {
      io.dy = dy.view();
      io.dweights = out.view();
    }
    EXPECT_TRUE(run_guarded(plan(spec, set), io)) << "wrote outside the workspace";
    EXPECT_TRUE(out.intact()) << "wrote outside the result";
  }
  std::vector<double> reference(ConvSpec spec) const {
    if (pass == ConvPass::backward_weights) return reference_backward_weights(c, x.values(), dy.values());
    std::vector<double> y = reference_forward(c, x.values(), weights.values());
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (spec.bias) y[i] += bias.get(static_cast<std::int64_t>(i) % c.Cout);
      if (spec.relu) y[i] = std::max(0.0, y[i]);
    }
    return y;
  }
};

TEST(FirstLayer, AgreesWithF64) {
  for (const Isa set : instruction_sets()) {
    for (const ConvPass pass : kPasses) {
      for (const Conv3x3& c : kCases) {
        for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
          for (const bool epilogue : {false, true}) {
            for (const std::int64_t extra_pitch : {0, 3}) {
              const ConvSpec spec{.stride = 1, .pad = 1, .bias = epilogue, .relu = epilogue};
              Trial trial(c, pass, dtype, extra_pitch);
              trial.run(spec, set);
              const bool rounded = dtype == Dtype::bf16 && pass == ConvPass::forward;
              EXPECT_LE(nmse(trial.out.values(), trial.reference(spec)), rounded ? 1e-5 : 1e-11)
                  << name_of(pass) << " " << c.name() << " " << name_of(dtype) << " " << cpu::name_of(set);
            }
          }
        }
      }
    }
  }
}

// Rows that the windows of neighbouring rows share, share in part, or leave out; images smaller than the kernel.
TEST(FirstLayer, OtherKernelsStridesAndPaddingsAgreeWithF64) {
  const std::pair<ConvShape, ConvSpec> cases[] = {
      {{2, 33, 30, 3, 64, 7, 7}, {2, 3}}, {{1, 5, 4, 3, 17, 7, 7}, {2, 3}}, {{2, 19, 70, 1, 33, 5, 5}, {1, 2}},
      {{1, 20, 21, 2, 48, 3, 3}, {2, 1}}, {{2, 9, 9, 4, 16, 3, 3}, {1, 0}}, {{1, 23, 17, 3, 8, 5, 5}, {6, 1}},
      {{1, 140, 9, 3, 20, 7, 7}, {3, 0}}, {{1, 3, 2, 3, 5, 3, 3}, {2, 4}}};
  for (const auto& [s, spec] : cases) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      const ConvCase c{ConvPass::forward, spec, s, dtype};
      Buffer x(dtype, {s.N, s.H, s.W, s.Cin}, 2), dy(dtype, {s.N, c.Ho(), c.Wo(), s.Cout}, 3);
      Buffer weights(Dtype::f32, {s.Cout, s.Kh, s.Kw, s.Cin});
      fill_normal(x, 1);
      fill_normal(dy, 2);
      fill_normal(weights, 3);
      const auto expected = kernels::test::convolve(spec, s, x.values(), weights.values(), {}, {}, dy.values());
      for (const Isa set : instruction_sets()) {
        const Buffer y(dtype, {s.N, c.Ho(), c.Wo(), s.Cout}, 3), dweights(Dtype::f32, {s.Cout, s.Kh, s.Kw, s.Cin});
        ConvOperands io;
        io.x = x.view();
        io.weights = weights.view();
        io.dy = dy.view();
        io.y = y.view();
        io.dweights = dweights.view();
        for (const ConvPass pass : kPasses) {
          const ConvCase of{pass, spec, s, dtype};
          ASSERT_TRUE(cpu::first_layer_supports(of));
          EXPECT_TRUE(run_guarded(cpu::first_layer_plan(of, set), io)) << text_of(of);
        }
        EXPECT_LE(nmse(y.values(), expected.y), dtype == Dtype::bf16 ? 1e-5 : 1e-11) << text_of(c);
        EXPECT_LE(nmse(dweights.values(), expected.dweights), 1e-11) << text_of(c);
      }
    }
  }
}

TEST(FirstLayer, ThreadsDoNotShowInTheBytes) {
  const int before = cpu::threads();
  for (const ConvPass pass : kPasses) {
    for (const Conv3x3& c : {Conv3x3{1, 260, 256, 3, 64}, Conv3x3{2, 33, 31, 3, 17}, Conv3x3{1, 2, 9, 1, 5}}) {
      std::vector<unsigned char> first;
      for (const int count : {1, 2, 3, 7}) {
        cpu::set_threads(count);
        Trial trial(c, pass, Dtype::f32);
        trial.run({.stride = 1, .pad = 1}, cpu::isa());
        if (first.empty()) first = trial.out.bytes();
        EXPECT_TRUE(first == trial.out.bytes()) << name_of(pass) << " " << c.name() << " on " << count << " threads";
      }
    }
  }
  cpu::set_threads(before);
}

TEST(FirstLayer, SupportsOnlyWhatItCanDo) {
  const ConvSpec spec{.stride = 1, .pad = 1};
  EXPECT_TRUE(cpu::first_layer_supports({ConvPass::forward, spec, {1, 8, 8, 3, 64, 3, 3}, Dtype::bf16}));
  EXPECT_TRUE(cpu::first_layer_supports({ConvPass::backward_weights, spec, {1, 8, 8, 4, 5, 3, 3}, Dtype::f32}));
  EXPECT_FALSE(cpu::first_layer_supports({ConvPass::backward_data, spec, {1, 8, 8, 3, 64, 3, 3}, Dtype::f32}));
  EXPECT_FALSE(cpu::first_layer_supports({ConvPass::forward, spec, {1, 8, 8, 5, 64, 3, 3}, Dtype::f32}));
  EXPECT_FALSE(cpu::first_layer_supports({ConvPass::forward, spec, {1, 8, 8, 3, 64, 3, 3}, Dtype::f64}));
  EXPECT_FALSE(cpu::first_layer_supports({ConvPass::forward, spec, {1, 8, 8, 3, 64, 9, 9}, Dtype::f32}));
  EXPECT_FALSE(cpu::first_layer_supports({ConvPass::forward, spec, {1, 8, 8, 3, 64, 3, 5}, Dtype::f32}));
  EXPECT_FALSE(cpu::first_layer_supports(
      {ConvPass::forward, {.stride = 1, .pad = 1, .residual = true}, {1, 8, 8, 3, 64, 3, 3}, Dtype::f32}));
}

}  // namespace
}  // namespace unet::test::first_layer_test
