// The convolution passes of every provider against a naive double-precision reference, and against each other.
#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

#include "kernels/cpu/onednn_conv.h"
#include "kernels/cpu/own_conv.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_conv.h"
#include "tests/kernels/cpu/conv_case.h"

namespace unet::kernels::conv_test {
namespace {

using cpu::plan_conv;
using test::Buffer;
using test::Case;
using test::nmse;
using test::Operands;
using test::Reference;
using test::run;
using test::Values;
using test::Workspace;

constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights};

// Odd sizes, one pixel, batch one, few and uneven channels, strides that leave a border over, kernels larger than the
// image, and sizes that need several blocks of every kind.
const Case kCases[] = {
    {{1, 1, 1, 1, 1, 1, 1}, {1, 0, false, false}},
    {{1, 1, 1, 5, 3, 3, 3}, {1, 1, true, false}},
    {{2, 5, 7, 3, 5, 3, 3}, {1, 1, true, true}},
    {{1, 9, 6, 17, 1, 1, 1}, {1, 0, true, false}},
    {{3, 8, 8, 1, 17, 5, 5}, {1, 3, false, true}},
    {{2, 7, 9, 5, 64, 3, 3}, {2, 1, true, true}},
    {{1, 13, 11, 64, 17, 3, 3}, {2, 0, false, false}},
    {{2, 6, 5, 17, 5, 2, 2}, {2, 0, true, false}},
    {{1, 17, 15, 3, 64, 7, 7}, {2, 3, true, true}},
    {{2, 10, 11, 5, 3, 3, 3}, {3, 1, false, false}},
    {{1, 8, 7, 5, 17, 1, 1}, {3, 0, true, false}},
    {{1, 6, 6, 17, 3, 2, 2}, {3, 1, false, false}},
    {{2, 33, 31, 64, 64, 3, 3}, {1, 1, true, true}},
    {{1, 21, 40, 17, 130, 3, 3}, {1, 1, false, false}},
    {{2, 50, 41, 3, 17, 3, 3}, {1, 0, true, false}},
    {{1, 12, 9, 150, 33, 3, 3}, {1, 3, true, false}},
    {{1, 9, 14, 5, 5, 2, 5}, {1, 1, false, false}},
    {{5, 3, 2, 64, 3, 7, 3}, {1, 3, true, false}},
    {{1, 100, 97, 17, 5, 1, 1}, {1, 0, false, false}},
    {{4, 4, 4, 200, 100, 3, 3}, {1, 1, false, true}},
    {{2, 33, 31, 64, 48, 3, 3}, {1, 1, true, true, true}},
    {{1, 9, 7, 16, 33, 3, 3}, {1, 1, false, false, true}},
    {{2, 14, 11, 40, 300, 3, 3}, {2, 1, true, true, true}},
    {{1, 30, 29, 24, 40, 1, 1}, {1, 0, false, true, true}},
    {{1, 5, 7, 3, 20, 3, 3}, {1, 1, false, true, true}},
    // A row, a column, several patches of the tiles' product in both directions, several images in one.
    {{1, 1, 300, 40, 33, 3, 3}, {1, 1, true, true}},
    {{1, 300, 1, 17, 16, 3, 3}, {1, 1}},
    {{2, 41, 262, 8, 36, 3, 3}, {2, 1, true, false, true}},
    {{20, 3, 3, 70, 40, 3, 3}, {1, 1, false, true, true}},
    {{3, 9, 260, 6, 4, 1, 1}, {2, 0, true}},
    {{2, 16, 48, 32, 136, 1, 3}, {1, 1}},
};

const Reference& reference(const Case& c) {
  static std::map<const Case*, Reference> known;
  const auto found = known.find(&c);
  if (found != known.end()) return found->second;
  return known.emplace(&c, Operands(c, Dtype::f64).reference(c)).first->second;
}

const Values& expected(const Case& c, ConvPass pass) {
  const Reference& r = reference(c);
  return pass == ConvPass::forward ? r.y : pass == ConvPass::backward_data ? r.dx : r.dweights;
}

class Conv : public testing::TestWithParam<ConvPass> {};
INSTANTIATE_TEST_SUITE_P(Pass, Conv, testing::ValuesIn(kPasses),
                         [](const auto& pass) { return std::string(name_of(pass.param)); });

TEST_P(Conv, OwnEqualsReferenceF32) {
  for (const Case& c : kCases) {
    const ConvPlan plan = plan_conv(c.of(GetParam(), Dtype::f32), ConvProvider::own);
    EXPECT_LE(nmse(run(plan, c, GetParam(), Dtype::f32, Operands(c, Dtype::f32)), expected(c, GetParam())), 1e-12) << c;
  }
}

TEST_P(Conv, OwnEqualsReferenceF64) {
  for (const Case& c : kCases) {
    const ConvPlan plan = plan_conv(c.of(GetParam(), Dtype::f64), ConvProvider::own);
    EXPECT_LE(nmse(run(plan, c, GetParam(), Dtype::f64, Operands(c, Dtype::f64)), expected(c, GetParam())), 1e-28) << c;
  }
}

// Against f64 on the rounded activations: what is written in bf16 has been rounded once, f32 gradients not at all.
TEST_P(Conv, EveryBf16CandidateEqualsReferenceOnTheRoundedInputs) {
  for (const Case& c : kCases) {
    const Operands in(c, Dtype::bf16);
    const auto passed = [](const Reference& r) {
      return GetParam() == ConvPass::forward ? r.y : GetParam() == ConvPass::backward_data ? r.dx : r.dweights;
    };
    const bool pairs = cpu::isa() == cpu::Isa::avx512_bf16;
    const bool tiles = cpu::tile_conv_supports(c.of(GetParam(), Dtype::bf16));
    const Values expected = passed(in.reference(c));
    const Values of_tiles = tiles ? passed(in.reference_of_tiles(c)) : expected;
    const bool weights = GetParam() == ConvPass::backward_weights;
    const auto bound = [&](const std::string& id) {
      if (weights) return id.starts_with("winograd") ? 1e-9 : 1e-11;
      return id == "own:gemm" && pairs ? test::bf16_products(expected.size()) : test::bf16_rounding(expected.size());
    };
    std::vector<ConvPlan> plans = cpu::plan_conv_candidates(c.of(GetParam(), Dtype::bf16));
    ASSERT_FALSE(plans.empty());
    EXPECT_EQ(plans[0].id, "own:gemm");
    plans.push_back(plan_conv(c.of(GetParam(), Dtype::bf16), ConvProvider::automatic));
    for (const ConvPlan& plan : plans) {
      const Values& exact = plan.id == "own:gemm" ? of_tiles : expected;
      EXPECT_LE(nmse(run(plan, c, GetParam(), Dtype::bf16, in), exact), bound(plan.id)) << plan.id << ", " << c;
    }
  }
}

TEST_P(Conv, EveryCandidateEqualsReference) {
  for (const Case& c : kCases) {
    const Operands in(c, Dtype::f32);
    for (const ConvPlan& plan : cpu::plan_conv_candidates(c.of(GetParam(), Dtype::f32))) {
      EXPECT_LE(nmse(run(plan, c, GetParam(), Dtype::f32, in), expected(c, GetParam())), 1e-7) << plan.id << ", " << c;
    }
  }
}

TEST_P(Conv, AutomaticEqualsReference) {
  for (const Case& c : kCases) {
    for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
      const ConvPlan plan = plan_conv(c.of(GetParam(), dtype), ConvProvider::automatic);
      EXPECT_LE(nmse(run(plan, c, GetParam(), dtype, Operands(c, dtype)), expected(c, GetParam())), 1e-7)
          << plan.id << ", " << c;
    }
  }
}

/// All but the library's own.
std::vector<ConvPlan> own_candidates(const ConvCase& c) {
  std::vector<ConvPlan> plans = cpu::plan_conv_candidates(c);
  std::erase_if(plans, [](const ConvPlan& plan) { return plan.id.starts_with("onednn"); });
  return plans;
}

TEST_P(Conv, OwnGivesTheSameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  // The last: so many pixels that backward weights cuts its sum.
  const Case cases[] = {kCases[5],  kCases[8],  kCases[12], kCases[15],
                        kCases[20], kCases[22], kCases[27], {{2, 70, 61, 20, 24, 3, 3}, {1, 1, true}}};
  for (const Case& c : cases) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      const Operands in(c, dtype);
      std::map<std::string, Values> first;
      for (const int threads : {1, 2, 3, 4}) {
        cpu::set_threads(threads);
        for (const ConvPlan& plan : own_candidates(c.of(GetParam(), dtype))) {
          const Values result = run(plan, c, GetParam(), dtype, in);
          EXPECT_EQ(first.try_emplace(plan.id, result).first->second, result) << plan.id << ", " << c;
        }
      }
      cpu::set_threads(before);
    }
  }
}

TEST_P(Conv, SlicesGiveTheSameBytesAsDenseTensors) {
  for (const Case& c : kCases) {
    for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
      const Operands dense(c, dtype);
      for (const std::int64_t gap : {5, 64}) {
        const Operands sliced(c, dtype, gap);
        for (const ConvPlan& plan : own_candidates(c.of(GetParam(), dtype))) {
          EXPECT_TRUE(plan.takes_slices) << plan.id;
          EXPECT_EQ(run(plan, c, GetParam(), dtype, sliced, gap), run(plan, c, GetParam(), dtype, dense))
              << plan.id << ", " << name_of(dtype) << ", gap " << gap << ", " << c;
        }
      }
    }
  }
}

// Only the residual may have a pitch then.
TEST(ConvResidual, OfALibrarysPlanMayBeASlice) {
  const Case& c = kCases[20];
  const Operands in(c, Dtype::f32);
  const Buffer residual(Dtype::f32, {c.shape.N, c.Ho(), c.Wo(), c.shape.Cout}, in.residual.values(), 7);
  for (const ConvPlan& plan : cpu::plan_conv_candidates(c.of(ConvPass::forward, Dtype::f32))) {
    const Buffer y(Dtype::f32, {c.shape.N, c.Ho(), c.Wo(), c.shape.Cout});
    ConvOperands io;
    io.x = in.x.view();
    io.weights = in.weights.view();
    io.bias = in.bias.view();
    io.residual = residual.view();
    io.y = y.view();
    Workspace workspace(plan.workspace);
    plan.run(io, workspace.data());
    EXPECT_LE(nmse(y.values(), expected(c, ConvPass::forward)), 1e-7) << plan.id;
  }
}

// A kernel that skips zeros, or a ReLU written as max(0, x), would hide a NaN. 40 channels: whole vectors and a rest.
TEST(ConvNan, ReachesTheOutputThroughZerosAndRelu) {
  const Case c{{1, 5, 5, 3, 40, 3, 3}, {1, 1, true, true}};
  Values x(75, 0.0);
  x[(2 * 5 + 2) * 3 + 1] = std::numeric_limits<double>::quiet_NaN();
  const Operands in(c, Dtype::f32);
  const Buffer poisoned(Dtype::f32, {1, 5, 5, 3}, x), zeros(Dtype::f32, {40, 3, 3, 3}, Values(40 * 27, 0.0));
  const Buffer y(Dtype::f32, {1, 5, 5, 40});
  ConvOperands io;
  io.x = poisoned.view();
  io.weights = zeros.view();
  io.bias = in.bias.view();
  io.y = y.view();
  const ConvPlan plan = plan_conv(c.of(ConvPass::forward, Dtype::f32), ConvProvider::own);
  Workspace workspace(plan.workspace);
  plan.run(io, workspace.data());
  const Values values = y.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t h = i / 200, w = i / 40 % 5;
    EXPECT_EQ(std::isnan(values[i]), h >= 1 && h <= 3 && w >= 1 && w <= 3) << "h " << h << ", w " << w;
  }
}

std::string message_of(ConvPass pass, const Case& c, Dtype dtype, ConvProvider provider) {
  try {
    plan_conv(c.of(pass, dtype), provider);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(ConvErrors, NameProviderPassAndShape) {
  const Case c{{2, 5, 7, 3, 8, 3, 3}, {2, 1, false, false}};
  const std::string what = "x [2,5,7,3], weights [8,3,3,3], stride 2, pad 1: ";
  EXPECT_EQ(message_of(ConvPass::forward, c, Dtype::u8, ConvProvider::own),
            "convolution forward u8, " + what + "own convolutions are f32, f64 and bf16");
  const std::string reason =
      cpu::onednn_version().empty() ? "oneDNN is not built in" : "oneDNN convolutions are f32 here";
  EXPECT_EQ(message_of(ConvPass::backward_weights, c, Dtype::f64, ConvProvider::onednn),
            "convolution backward_weights f64, " + what + reason);
  EXPECT_FALSE(cpu::conv_provider_available(ConvProvider::onednn, c.of(ConvPass::forward, Dtype::f64)));
  EXPECT_TRUE(cpu::conv_provider_available(ConvProvider::own, c.of(ConvPass::forward, Dtype::f64)));
}

TEST(ConvPlanIds, SayWhichProviderRuns) {
  const Case c{{2, 16, 16, 32, 32, 3, 3}, {1, 1, false, false}};
  for (const ConvPass pass : kPasses) {
    EXPECT_EQ(plan_conv(c.of(pass, Dtype::f32), ConvProvider::own).id.substr(0, 4), "own:");
    EXPECT_EQ(plan_conv(c.of(pass, Dtype::f64), ConvProvider::automatic).id.substr(0, 4), "own:");
    if (cpu::onednn_version().empty()) continue;
    EXPECT_EQ(plan_conv(c.of(pass, Dtype::f32), ConvProvider::onednn).id.substr(0, 7), "onednn:");
  }
  if (cpu::onednn_version().empty()) GTEST_SKIP() << "oneDNN is not built in";
}

/// The strided convolutions of a ResNet read slices, which the library would have copied.
TEST(ConvPlanIds, OfStridedConvolutionsAreOurs) {
  const Case strided{{4, 64, 64, 64, 128, 3, 3}, {2, 1}}, shortcut{{4, 64, 64, 64, 128, 1, 1}, {2, 0}};
  const Case stem{{4, 256, 256, 3, 64, 7, 7}, {2, 3}};
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    for (const ConvPass pass : kPasses) {
      for (const Case& c : {strided, shortcut}) {
        EXPECT_EQ(plan_conv(c.of(pass, dtype), ConvProvider::automatic).id, "own:gemm") << name_of(pass) << " " << c;
      }
      if (pass == ConvPass::backward_data) continue;
      EXPECT_EQ(plan_conv(stem.of(pass, dtype), ConvProvider::automatic).id, "own:first-layer") << name_of(pass);
    }
  }
}

/// Convolutions of bf16 are direct where there are tiles, unless their channels are few; weight gradients of few pixels
/// are not.
TEST(ConvPlanIds, OfBf16InTilesAreOurs) {
  if (cpu::isa() == cpu::Isa::baseline) GTEST_SKIP() << "no Winograd on baseline vectors";
  const Case wide{{2, 64, 64, 64, 64, 3, 3}, {1, 1}}, narrow{{2, 64, 64, 16, 16, 3, 3}, {1, 1}};
  const Case small{{2, 16, 16, 64, 64, 3, 3}, {1, 1}};
  const bool tiles = cpu::isa() == cpu::Isa::avx512_amx;
  const auto id = [](const Case& c, ConvPass pass, Dtype dtype) {
    return plan_conv(c.of(pass, dtype), ConvProvider::automatic).id.substr(0, 8);
  };
  for (const ConvPass pass : kPasses) {
    EXPECT_EQ(id(wide, pass, Dtype::bf16), tiles ? "own:gemm" : "winograd");
    EXPECT_EQ(id(small, pass, Dtype::bf16), tiles && pass != ConvPass::backward_weights ? "own:gemm" : "winograd");
    EXPECT_EQ(id(wide, pass, Dtype::f32), "winograd");
    EXPECT_EQ(id(narrow, pass, Dtype::bf16), "winograd");
  }
}

}  // namespace
}  // namespace unet::kernels::conv_test
