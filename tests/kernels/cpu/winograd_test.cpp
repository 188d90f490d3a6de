// Every pass, tile size, instruction set and dtype against f64, with guard zones and poisoned outputs and workspaces.
#include "kernels/cpu/winograd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "tests/kernels/cpu/conv3x3.h"

namespace unet::test::winograd_test {
namespace {

using namespace kernels;
using kernels::cpu::Isa;
using kernels::cpu::WinogradTile;

const std::vector<ConvPass> kPasses = {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights};
constexpr WinogradTile kTiles[] = {WinogradTile::f2x2, WinogradTile::f4x4, WinogradTile::f6x6};

const Conv3x3 kCases[] = {{1, 1, 1, 1, 1},    {2, 1, 1, 16, 17},    {1, 5, 7, 3, 16},    {2, 5, 7, 17, 3},
                          {3, 5, 7, 100, 33}, {1, 33, 31, 16, 64},  {2, 33, 31, 1, 130}, {1, 33, 31, 130, 32},
                          {3, 8, 8, 64, 64},  {2, 16, 12, 32, 100}, {1, 4, 65, 17, 17},  {2, 6, 6, 200, 130},
                          {1, 64, 60, 3, 48}, {2, 13, 9, 130, 200}};

ConvSpec spec() { return {.stride = 1, .pad = 1}; }

/// Threads for one scope.
class Threads {
 public:
  explicit Threads(int n) : before_(cpu::threads()) { cpu::set_threads(n); }
  ~Threads() { cpu::set_threads(before_); }

 private:
  int before_;
};

/// Operands and result of one pass. `activations` is the plan's dtype; weights and their gradients may have another.
struct Trial {
  Conv3x3 c;
  ConvPass pass;
  Buffer x, dy, weights, out;

  Trial(const Conv3x3& shape, ConvPass p, Dtype activations, Dtype filters, std::int64_t extra_pitch = 0)
      : c(shape),
        pass(p),
        x(activations, {c.N, c.H, c.W, c.Cin}, extra_pitch),
        dy(activations, {c.N, c.H, c.W, c.Cout}, extra_pitch),
        weights(filters, {c.Cout, 3, 3, c.Cin}),
        out(p == ConvPass::backward_weights ? filters : activations,
            p == ConvPass::forward         ? std::array<std::int64_t, 4>{c.N, c.H, c.W, c.Cout}
            : p == ConvPass::backward_data ? std::array<std::int64_t, 4>{c.N, c.H, c.W, c.Cin}
                                           : std::array<std::int64_t, 4>{c.Cout, 3, 3, c.Cin},
            p == ConvPass::backward_weights ? 0 : extra_pitch) {
    fill_normal(x, 1);
    fill_normal(dy, 2);
    fill_normal(weights, 3);
  }
  ConvOperands operands() {
    ConvOperands io;
    if (pass != ConvPass::backward_data) io.x = x.view();
    if (pass != ConvPass::backward_weights) io.weights = weights.view();
    if (pass != ConvPass::forward) io.dy = dy.view();
    (pass == ConvPass::forward ? io.y : pass == ConvPass::backward_data ? io.dx : io.dweights) = out.view();
    return io;
  }
  std::vector<double> reference() const {
    switch (pass) {
      case ConvPass::forward:
        return reference_forward(c, x.values(), weights.values());
      case ConvPass::backward_data:
        return reference_backward_data(c, dy.values(), weights.values());
      default:
        return reference_backward_weights(c, x.values(), dy.values());
    }
  }
  /// The result's error, after checking guards.
  double error(const ConvPlan& plan, const std::vector<double>& expected) {
    EXPECT_TRUE(run_guarded(plan, operands())) << "wrote outside the workspace";
    EXPECT_TRUE(out.intact()) << "wrote outside the result";
    return nmse(out.values(), expected);
  }
};

struct Variant {
  ConvPass pass;
  WinogradTile tile;
  Isa set;
};
std::string name(const ::testing::TestParamInfo<Variant>& info) {
  const Variant& v = info.param;
  constexpr const char* tiles[] = {"_f2x2_", "_f4x4_", "_f6x6_"};
  return std::string(name_of(v.pass)) + tiles[static_cast<int>(v.tile)] + cpu::name_of(v.set);
}
std::vector<Variant> variants(const std::vector<ConvPass>& passes) {
  std::vector<Variant> all;
  for (const ConvPass pass : passes) {
    for (const WinogradTile tile : kTiles) {
      for (const Isa set : instruction_sets()) all.push_back({pass, tile, set});
    }
  }
  return all;
}

class Winograd : public ::testing::TestWithParam<Variant> {
 protected:
  ConvPlan plan(const Conv3x3& c, Dtype dtype, ConvSpec how = spec()) const {
    return cpu::winograd_plan({GetParam().pass, how, c.shape(), dtype}, GetParam().tile, GetParam().set);
  }
};
INSTANTIATE_TEST_SUITE_P(All, Winograd, ::testing::ValuesIn(variants(kPasses)), name);

class WinogradForward : public Winograd {};
INSTANTIATE_TEST_SUITE_P(All, WinogradForward, ::testing::ValuesIn(variants({ConvPass::forward})), name);

TEST_P(Winograd, F32AgreesWithF64) {
  const double bound = GetParam().pass == ConvPass::backward_weights ? 1e-9 : 1e-10;
  for (const Conv3x3& c : kCases) {
    Trial trial(c, GetParam().pass, Dtype::f32, Dtype::f32);
    EXPECT_LE(trial.error(plan(c, Dtype::f32), trial.reference()), bound) << c.name();
  }
}

// The most channels that the rule sums over in f32 with the largest tiles: the error grows with them.
TEST(Winograd512Channels, F32StaysWithinTheBound) {
  const Conv3x3 c{1, 60, 60, 512, 16};
  Trial trial(c, ConvPass::forward, Dtype::f32, Dtype::f32);
  const ConvPlan plan = cpu::winograd_plan({ConvPass::forward, spec(), c.shape(), Dtype::f32}, WinogradTile::f6x6);
  EXPECT_LE(trial.error(plan, trial.reference()), 1e-10);
}

// The result is rounded to bf16 where it is an activation (2^-9 relative, uniform: 1.3e-6); gradients are f32 here.
TEST_P(Winograd, Bf16ActivationsAgreeWithF64OnTheRoundedInputs) {
  const double bound = GetParam().pass == ConvPass::backward_weights ? 1e-9 : 1e-5;
  for (const Conv3x3& c : kCases) {
    Trial trial(c, GetParam().pass, Dtype::bf16, Dtype::f32);
    EXPECT_LE(trial.error(plan(c, Dtype::bf16), trial.reference()), bound) << c.name();
  }
}

TEST_P(Winograd, Bf16WeightsAgreeWithF64OnTheRoundedInputs) {
  for (const Conv3x3& c : kCases) {
    Trial trial(c, GetParam().pass, Dtype::bf16, Dtype::bf16);
    EXPECT_LE(trial.error(plan(c, Dtype::bf16), trial.reference()), 1e-5) << c.name();
  }
}

TEST_P(Winograd, PitchedActivations) {
  for (const Conv3x3& c : {kCases[3], kCases[5], kCases[8]}) {
    for (const std::int64_t extra : {5, 64}) {
      Trial trial(c, GetParam().pass, Dtype::f32, Dtype::f32, extra);
      EXPECT_LE(trial.error(plan(c, Dtype::f32), trial.reference()), 1e-9) << c.name() << " pitch +" << extra;
    }
  }
}

// Large enough for every schedule: private and shared, several chunks, streamed results, groups of tiles.
TEST_P(Winograd, ThreadsDoNotShowInTheBytes) {
  const bool slow = GetParam().set == Isa::baseline;
  const std::vector<Conv3x3> cases =
      slow ? std::vector<Conv3x3>{{1, 33, 31, 17, 33}, {1, 64, 64, 32, 16}}
           : std::vector<Conv3x3>{{1, 33, 31, 17, 33},   {2, 128, 128, 64, 32}, {1, 24, 24, 200, 130},
                                  {1, 60, 62, 128, 130}, {1, 8, 8, 192, 256},   {1, 256, 256, 16, 64}};
  for (const Conv3x3& c : cases) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      Trial trial(c, GetParam().pass, dtype, dtype);
      std::vector<unsigned char> first;
      for (const int count : {1, 2, 3, 7}) {
        const Threads scope(count);
        trial.out.poison();
        EXPECT_TRUE(run_guarded(plan(c, dtype), trial.operands()));
        EXPECT_TRUE(trial.out.intact());
        if (first.empty()) first = trial.out.bytes();
        EXPECT_TRUE(first == trial.out.bytes()) << c.name() << " " << name_of(dtype) << " on " << count << " threads";
      }
      const Threads many(7);
      const ConvPlan planned_for_seven = plan(c, dtype);
      const Threads few(2);
      trial.out.poison();
      EXPECT_TRUE(run_guarded(planned_for_seven, trial.operands()));
      EXPECT_TRUE(first == trial.out.bytes()) << c.name() << " planned for 7 threads, run on 2";
    }
  }
}

TEST_P(Winograd, LargeShapesAgreeWithTheBaseline) {
  const Conv3x3 c{1, 256, 256, 16, 64};  // y is streamed
  Trial wide(c, GetParam().pass, Dtype::f32, Dtype::f32), narrow(c, GetParam().pass, Dtype::f32, Dtype::f32);
  ASSERT_TRUE(run_guarded(plan(c, Dtype::f32), wide.operands()));
  ASSERT_TRUE(
      run_guarded(cpu::winograd_plan({GetParam().pass, spec(), c.shape(), Dtype::f32}, GetParam().tile, Isa::baseline),
                  narrow.operands()));
  EXPECT_LE(nmse(wide.out.values(), narrow.out.values()), 1e-9);
}

TEST_P(WinogradForward, BiasAndRelu) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    for (const Conv3x3& c : {kCases[2], kCases[5], kCases[9], kCases[12]}) {
      for (const bool with_bias : {false, true}) {
        ConvSpec how = spec();
        how.bias = with_bias;
        how.relu = true;
        Trial trial(c, ConvPass::forward, dtype, Dtype::f32);
        Buffer bias(dtype, {1, 1, 1, c.Cout});
        fill_normal(bias, 4, 20);
        std::vector<double> expected = trial.reference();
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const auto channel = static_cast<std::int64_t>(i) % c.Cout;
          expected[i] = std::max(0.0, expected[i] + (with_bias ? bias.get(channel) : 0.0));
        }
        ConvOperands io = trial.operands();
        if (with_bias) io.bias = bias.view();
        EXPECT_TRUE(run_guarded(plan(c, dtype, how), io));
        EXPECT_TRUE(trial.out.intact());
        EXPECT_LE(nmse(trial.out.values(), expected), dtype == Dtype::f32 ? 1e-10 : 1e-5) << c.name();
      }
    }
  }
}

TEST_P(WinogradForward, ResidualIsAddedLast) {
  // Whole tiles and parts of them, channels that fill no vector; the last is streamed.
  for (const Conv3x3& c : {kCases[2], kCases[5], kCases[9], kCases[13], Conv3x3{1, 256, 256, 1, 64}}) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      if (c.H == 256 && GetParam().set == Isa::baseline) continue;  // slow
      Trial trial(c, ConvPass::forward, dtype, Dtype::f32);
      Buffer scale(Dtype::f32, {1, 1, 1, c.Cout}), bias(Dtype::f32, {1, 1, 1, c.Cout});
      Buffer residual(dtype, {c.N, c.H, c.W, c.Cout}, 5);
      fill_normal(scale, 4);
      fill_normal(bias, 5, 10);
      fill_normal(residual, 6, 10);
      ConvOperands io = trial.operands();
      io.scale = scale.view();
      io.bias = bias.view();
      io.residual = residual.view();
      ConvSpec how = spec();
      how.bias = how.relu = how.residual = true;
      std::vector<double> expected = trial.reference();
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i), channel = at % c.Cout;
        expected[i] = std::max(0.0, expected[i] * scale.get(channel) + bias.get(channel) + residual.get(at));
      }
      EXPECT_TRUE(run_guarded(plan(c, dtype, how), io));
      EXPECT_LE(nmse(trial.out.values(), expected), dtype == Dtype::f32 ? 1e-10 : 1e-5) << c.name();
    }
  }
}

TEST_P(WinogradForward, NotANumberStaysVisibleAndNearby) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Conv3x3 c{1, 40, 40, 16, 16};
    Trial trial(c, ConvPass::forward, dtype, Dtype::f32);
    const View x = trial.x.view();
    const std::int64_t poisoned = (20 * c.W + 20) * c.Cin + 3;
    if (dtype == Dtype::f32) {
      x.as<float>()[poisoned] = std::nanf("");
    } else {
      x.as<bf16>()[poisoned].bits = 0x7fff;
    }
    ConvSpec how = spec();
    how.relu = true;
    ASSERT_TRUE(run_guarded(plan(c, dtype, how), trial.operands()));
    for (std::int64_t h = 0; h < c.H; ++h) {
      for (std::int64_t w = 0; w < c.W; ++w) {
        const bool touched = std::max(std::abs(h - 20), std::abs(w - 20)) <= 1;
        const bool near = std::max(std::abs(h - 20), std::abs(w - 20)) <= 6;
        const bool is_nan = std::isnan(trial.out.get((h * c.W + w) * c.Cout));
        EXPECT_TRUE(is_nan || !touched) << h << "," << w;
        EXPECT_TRUE(!is_nan || near) << h << "," << w;
      }
    }
  }
}

TEST(WinogradRule, TakesTheLargestTilesWhereTheyFit) {
  if (cpu::isa() == Isa::baseline) GTEST_SKIP() << "no Winograd on baseline vectors";
  const auto chosen = [](ConvPass pass, const ConvShape& shape, Dtype dtype) {
    return cpu::plan_conv({pass, spec(), shape, dtype}, ConvProvider::automatic).id;
  };
  const bool tiles = cpu::isa() == Isa::avx512_amx;  // then bf16 is multiplied there: ConvPlanIds.OfBf16InTilesAreOurs
  const ConvShape large{2, 256, 256, 64, 64, 3, 3}, padded_away{8, 32, 32, 512, 512, 3, 3},
      few{1, 48, 48, 64, 64, 3, 3}, tiny{8, 2, 2, 512, 512, 3, 3};
  for (const ConvPass pass : kPasses) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      if (tiles && dtype == Dtype::bf16) continue;
      EXPECT_EQ(chosen(pass, large, dtype), "winograd:f6x6");
      EXPECT_EQ(chosen(pass, padded_away, dtype), "winograd:f4x4");
      EXPECT_EQ(chosen(pass, few, dtype), "winograd:f4x4");
      EXPECT_EQ(chosen(pass, tiny, dtype), "winograd:f2x2");
    }
  }
  const ConvShape deepest{1, 8, 8, 512, 512, 3, 3};
  EXPECT_EQ(chosen(ConvPass::forward, deepest, Dtype::f32), "winograd:f2x2") << "transforms of filters are the work";
  EXPECT_EQ(chosen(ConvPass::backward_weights, deepest, Dtype::f32), "winograd:f4x4");
  const ConvShape narrow{8, 128, 128, 32, 32, 3, 3}, deep{2, 64, 64, 1024, 64, 3, 3};
  EXPECT_EQ(chosen(ConvPass::forward, narrow, Dtype::f32), "winograd:f4x4");
  EXPECT_EQ(chosen(ConvPass::backward_weights, narrow, Dtype::bf16), "winograd:f4x4");
  EXPECT_EQ(chosen(ConvPass::forward, deep, Dtype::f32), "winograd:f4x4") << "too many to add up in f32";
  EXPECT_EQ(chosen(ConvPass::backward_data, deep, Dtype::f32), "winograd:f6x6");
  if (tiles) return;
  EXPECT_EQ(chosen(ConvPass::backward_data, deepest, Dtype::bf16), "winograd:f2x2");
  EXPECT_EQ(chosen(ConvPass::forward, narrow, Dtype::bf16), "winograd:f6x6");
  EXPECT_EQ(chosen(ConvPass::forward, deep, Dtype::bf16), "winograd:f6x6");
}

TEST(WinogradSupports, OnlyWhatItCanDo) {
  const ConvShape shape{1, 8, 8, 16, 16, 3, 3};
  for (const ConvPass pass : kPasses) {
    EXPECT_TRUE(cpu::winograd_supports({pass, spec(), shape, Dtype::f32}));
    EXPECT_TRUE(cpu::winograd_supports({pass, spec(), shape, Dtype::bf16}));
    EXPECT_FALSE(cpu::winograd_supports({pass, spec(), shape, Dtype::f64}));
    EXPECT_FALSE(cpu::winograd_supports({pass, {.stride = 2, .pad = 1}, shape, Dtype::f32}));
    EXPECT_FALSE(cpu::winograd_supports({pass, {.stride = 1, .pad = 0}, shape, Dtype::f32}));
    EXPECT_FALSE(cpu::winograd_supports({pass, spec(), {1, 8, 8, 16, 16, 1, 1}, Dtype::f32}));
    EXPECT_FALSE(cpu::winograd_supports({pass, spec(), {0, 8, 8, 16, 16, 3, 3}, Dtype::f32}));
  }
  EXPECT_EQ(cpu::winograd_plan({ConvPass::forward, spec(), shape, Dtype::f32}, WinogradTile::f4x4).id, "winograd:f4x4");
  EXPECT_EQ(cpu::winograd_plan({ConvPass::forward, spec(), shape, Dtype::f32}, WinogradTile::f2x2).id, "winograd:f2x2");
}

}  // namespace
}  // namespace unet::test::winograd_test
