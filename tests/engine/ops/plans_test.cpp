// Choices of convolutions: timed, saved, read and repeated; and what a folded layer does with its output.
#include "engine/ops/conv_plans.h"

#include <algorithm>

#include "engine/core/pool.h"
#include "engine/nn/layers.h"
#include "engine/ops/plan_file.h"
#include "kernels/cpu/parallel.h"
#include "tests/support/op_case.h"

namespace unet::tests::plans_test {
namespace {

using kernels::ConvPass;
using kernels::ConvSpec;

/// The plans of a test are its own, and nothing of it stays in force.
class Plans : public testing::Test {
 protected:
  Plans() { clear(); }
  ~Plans() override { clear(); }
  static void clear() {
    set_conv_autotune(false);
    replay_conv_plans({});
    set_conv_provider(kernels::ConvProvider::automatic);
  }

  /// Forward and backward of a convolution; the bytes of all results.
  static std::vector<double> convolve() {
    Tape tape;
    const Var x = tape.leaf(Tensor::of({2, 11, 9, 16}, Dtype::f32, normal_values(2 * 11 * 9 * 16, 1)));
    const Var weight = tape.leaf(Tensor::of({24, 3, 3, 16}, Dtype::f32, normal_values(24 * 9 * 16, 2)));
    const Var y = conv2d(tape, x, weight, {}, {.pad = 1});
    tape.backward(weighted_sum(tape, {y}, {Tensor::of(y.shape(), Dtype::f32, normal_values(y.shape().size(), 3))}));
    std::vector<double> all = y.value.values<double>();
    for (const Var& v : {x, weight}) {
      const std::vector<double> gradient = tape.gradient(v).values<double>();
      all.insert(all.end(), gradient.begin(), gradient.end());
    }
    return all;
  }
};

TEST_F(Plans, TimingChoosesAmongTheCandidatesAndComputesTheSame) {
  const std::vector<double> by_rule = convolve();
  set_conv_autotune(true);
  EXPECT_LE(nmse(convolve(), by_rule), 1e-10);
  const std::vector<PlanChoice> choices = conv_plan_choices();
  ASSERT_EQ(choices.size(), 3u);
  for (const PlanChoice& c : choices) {
    std::vector<std::string> ids;
    for (const auto& plan : kernels::cpu::plan_conv_candidates(c.of)) ids.push_back(plan.id);
    EXPECT_NE(std::find(ids.begin(), ids.end(), c.id), ids.end()) << c.id;
    EXPECT_EQ(c.machine, kernels::cpu::conv_machine());
    EXPECT_FALSE(kernels::cpu::plan_conv_by_id(c.of, c.id).foreign_threads) << "they would slow what comes next";
  }
  for (const PlanUse& use : conv_plan_uses()) EXPECT_EQ(use.runs, 1u) << "timing counts as no run";
}

TEST_F(Plans, ReplayRepeatsTheBytesWhateverTheRuleSays) {
  convolve();
  std::vector<PlanChoice> choices = conv_plan_choices();
  for (PlanChoice& c : choices) {
    EXPECT_EQ(c.id, "winograd:f4x4");
    c.id = "own:gemm";
  }
  replay_conv_plans(parse_plans(plans_text(choices), "text"));
  set_conv_autotune(true);  // what was chosen is not timed again
  const std::vector<double> replayed = convolve();
  EXPECT_EQ(conv_plan_choices(), choices);
  for (const PlanUse& use : conv_plan_uses()) EXPECT_EQ(use.id, "own:gemm");
  clear();
  set_conv_provider(kernels::ConvProvider::own);
  EXPECT_EQ(convolve(), replayed);
}

TEST_F(Plans, RefuseWhatThisMachineHasNot) {
  convolve();
  std::vector<PlanChoice> choices = conv_plan_choices();
  std::vector<PlanChoice> other = choices;
  other[1].machine = "avx1024, oneDNN 9.9";
  EXPECT_EQ(error_of([&] { replay_conv_plans(other); }),
            fmt::format("the choice of convolutions was made for \"avx1024, oneDNN 9.9\", this is \"{}\"",
                        kernels::cpu::conv_machine()));
  for (PlanChoice& c : choices) c.id = "onednn:blocked";
  replay_conv_plans(choices);
  const std::string message = error_of([] { convolve(); });
  EXPECT_NE(message.find("convolution forward f32, x [2,11,9,16], weights [24,3,3,16], stride 1, pad 1: no "
                         "implementation is called \"onednn:blocked\" here; there are own:gemm"),
            std::string::npos)
      << message;
}

TEST_F(Plans, TextIsReadBackAndNothingElseIs) {
  ConvSpec spec;
  spec.stride = 2;
  spec.bias = spec.relu = true;
  const std::vector<PlanChoice> choices{
      {{ConvPass::forward, spec, {1, 2, 3, 4, 5, 6, 7}, Dtype::bf16}, {}, "avx2", "own:gemm"},
      {{ConvPass::backward_weights, {}, {8, 128, 128, 3, 64, 3, 3}, Dtype::f32, true},
       kCuda,
       "H200 \"x\"",
       "cudnn:9:e1"}};
  const std::string text = plans_text(choices);
  EXPECT_EQ(parse_plans(text, "f"), choices);
  EXPECT_EQ(plans_text(parse_plans(text, "f")), text);
  EXPECT_EQ(parse_plans(plans_text({}), "f"), std::vector<PlanChoice>());

  const auto fault = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return error_of([&] { parse_plans(changed, "runs/plans.json"); });
  };
  const std::string begin = "runs/plans.json: no choice of convolutions: ";
  EXPECT_EQ(fault("\"version\": 1", "\"version\": 2"), begin + "version 2 is unknown");
  EXPECT_EQ(fault("[1,2,3,4]", "[1,2,3]"), begin + "plan 1: x is [1,2,3], not four sizes");
  EXPECT_EQ(fault("[1,2,3,4]", "[1,2,3,9]"), begin + "plan 1: x has 9 channels, weights expect 4");
  EXPECT_EQ(fault("[1,2,3,4]", "[0,2,3,4]"), begin + "plan 1: x holds 0, outside 1..2147483648");
  EXPECT_EQ(fault("[1,2,3,4]", "[1.5,2,3,4]"), begin + "plan 1: x holds 1.5, not a whole number");
  EXPECT_EQ(fault("\"bf16\"", "\"f16\""), begin + "plan 1: dtype is \"f16\", not one of \"f32\", \"f64\", \"bf16\"");
  EXPECT_EQ(fault("\"tf32\":false", "\"tf32\":true"),
            begin + "plan 1: tf32 is true beside bf16: it is a way to multiply f32");
  EXPECT_EQ(fault("\"stride\"", "\"step\""), begin + "plan 1: \"step\" is unknown");
  EXPECT_NE(fault("\"relu\":true,", "").find("plan 1"), std::string::npos);
  EXPECT_NE(fault("]}", "]").find(begin), std::string::npos);
  std::vector<PlanChoice> twice{choices[0], choices[1], choices[0]};
  twice[2].id = "winograd:f2x2";
  EXPECT_EQ(error_of([&] { parse_plans(plans_text(twice), "f"); }),
            "f: no choice of convolutions: plans 1 and 3 are for the same convolution");
  EXPECT_EQ(error_of([] { read_plans("no/such/plans.json"); }), "no/such/plans.json: cannot be read");
}

/// A file of a program that did not say: its choices hold for strict fp32 alone, and without a residual.
TEST_F(Plans, WithoutTf32AFileIsOfStrictFp32) {
  const PlanChoice choice{
      {ConvPass::forward, {.residual = true}, {1, 2, 3, 4, 5, 6, 7}, Dtype::f32, true}, kCuda, "H200", "cudnn:9:e1"};
  std::string text = plans_text({choice});
  EXPECT_EQ(parse_plans(text, "f"), std::vector{choice});
  for (const std::string row : {"\"tf32\":true,", "\"residual\":true,"}) text.replace(text.find(row), row.size(), "");
  PlanChoice older = choice;
  older.of.tf32 = older.of.spec.residual = false;
  EXPECT_EQ(parse_plans(text, "f"), std::vector{older});
}

TEST(ConvCase, IsToldInWords) {
  kernels::ConvCase c{ConvPass::backward_data, {.stride = 2, .pad = 1}, {8, 64, 32, 3, 16, 5, 7}, Dtype::f32};
  EXPECT_EQ(text_of(c), "backward_data f32, x [8,64,32,3], weights [16,5,7,3], stride 2, pad 1");
  c.tf32 = true;
  EXPECT_EQ(text_of(c), "backward_data tf32, x [8,64,32,3], weights [16,5,7,3], stride 2, pad 1");
}

/// From slices into a slice by every candidate: those that take none go by way of copies.
TEST_F(Plans, EveryCandidateReadsAndWritesSlices) {
  const PoisonScope poison;
  const Shape x_shape{1, 10, 12, 16}, y_shape{1, 10, 12, 24}, w_shape{24, 3, 3, 16};
  const Tensor weight = Tensor::of(w_shape, Dtype::f32, normal_values(w_shape.size(), 2));
  struct Operands {
    Sliced x, dy, y;
    Tensor dx, dweights;
  };
  const auto run = [&](ConvPass pass, std::int64_t extra) {
    Operands all{{x_shape, Dtype::f32, extra, normal_values(x_shape.size(), 1)},
                 {y_shape, Dtype::f32, extra, normal_values(y_shape.size(), 3)},
                 {y_shape, Dtype::f32, extra},
                 Tensor::empty(x_shape, Dtype::f32),
                 Tensor::empty(w_shape, Dtype::f32)};
    kernels::ConvOperands io;
    io.x = all.x.tensor().const_view();
    io.weights = weight.const_view();
    io.dy = all.dy.tensor().const_view();
    io.y = all.y.tensor().view();
    io.dx = all.dx.view();
    io.dweights = all.dweights.view();
    run_conv({pass, {.pad = 1}, {1, 10, 12, 16, 24, 3, 3}, Dtype::f32}, {}, io);
    EXPECT_TRUE(all.x.guards_intact() && all.dy.guards_intact() && all.y.guards_intact());
    return (pass == ConvPass::forward         ? all.y.tensor()
            : pass == ConvPass::backward_data ? all.dx
                                              : all.dweights)
        .values<double>();
  };
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    clear();
    run(pass, 0);
    PlanChoice choice = conv_plan_choices().at(0);
    for (const auto& plan : kernels::cpu::plan_conv_candidates(choice.of)) {
      choice.id = plan.id;
      replay_conv_plans({choice});
      EXPECT_EQ(run(pass, 8), run(pass, 0)) << name_of(pass) << " by " << plan.id;
    }
  }
}

TEST(Workspace, AnOutgrownOneIsLetGo) {
  const auto convolve = [](std::int64_t C) {
    Tape tape(Tape::Mode::inference);
    const Var x = tape.input(Tensor::zeros({1, 16, 16, C}, Dtype::f32));
    conv2d(tape, x, tape.input(Tensor::zeros({C, 3, 3, C}, Dtype::f32)), {}, {.pad = 1});
  };
  const std::size_t before = cpu_pool().stats().in_use;
  for (const std::int64_t C : {250, 520, 800, 250}) convolve(C);
  const kernels::ConvCase largest{ConvPass::forward, {.pad = 1}, {1, 16, 16, 800, 800, 3, 3}, Dtype::f32};
  EXPECT_LE(cpu_pool().stats().in_use - before,
            kernels::cpu::plan_conv(largest, kernels::ConvProvider::automatic).workspace + 512);
}

TEST(FoldedLayer, PoolsAddsAndWritesSlicesLikeTheUnfoldedOne) {
  Parameters parameters;
  const nn::ConvNormAct layer(parameters, "conv", "norm", 16, 24);
  parameters.initialize(3);
  const Tensor values = parameters.values(), running = parameters.running();
  const std::vector<double> random = normal_values(values.size() + running.size(), 4);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    values.data<float>()[i] = static_cast<float>(random[static_cast<std::size_t>(i)]);
  }
  for (std::int64_t i = 0; i < running.size(); ++i) {
    running.data<float>()[i] = static_cast<float>(0.5 + std::abs(random[static_cast<std::size_t>(i + values.size())]));
  }
  for (const auto& [dtype, adds] :
       {std::pair{Dtype::f32, false}, {Dtype::bf16, false}, {Dtype::f32, true}, {Dtype::bf16, true}}) {
    const Tensor x = Tensor::of({2, 9, 12, 16}, dtype, normal_values(2 * 9 * 12 * 16, 5));
    const Sliced residual({2, 9, 12, 24}, dtype, 8, normal_values(2 * 9 * 12 * 24, 6));
    Tape tape(Tape::Mode::inference);
    const Var conv = conv2d(tape, tape.input(x), tape.param(parameters, {0}), {}, {.pad = 1});
    NormActOptions norm;
    norm.pool = true;
    norm.training = false;
    if (adds) norm.residual = tape.input(residual.tensor());
    const NormActResult expected =
        norm_act(tape, conv, tape.param(parameters, {1}), tape.param(parameters, {2}), parameters.running({0}), norm);
    const Sliced out({2, 9, 12, 24}, dtype, 24);
    nn::ConvNormAct::Options options;
    options.out = out.tensor();
    options.pool = true;
    options.residual = norm.residual;
    set_conv_provider(kernels::ConvProvider::automatic);  // forgets what ran before
    const NormActResult got = layer.forward(tape, tape.input(x), options);
    ASSERT_EQ(conv_plan_uses().size(), 1u);
    EXPECT_EQ(conv_plan_uses()[0].of.spec, (ConvSpec{1, 1, true, true, adds})) << "all in one";
    EXPECT_EQ(got.y.value.data<void>(), out.tensor().data<void>());
    EXPECT_TRUE(out.guards_intact());
    // Beside bf16 the unfolded layer has rounded the convolution's result too: twice the rounding.
    const double bound = dtype == Dtype::bf16 ? 2 * 0x1p-16 / 3 : 1e-10;
    EXPECT_LE(nmse(got.y.value.values<double>(), expected.y.value.values<double>()), bound);
    EXPECT_LE(nmse(got.pooled.value.values<double>(), expected.pooled.value.values<double>()), bound);
    // The pool is of what was written.
    EXPECT_EQ(got.pooled.value.values<double>(), max_pool2d(tape, got.y).value.values<double>());
  }
}

}  // namespace
}  // namespace unet::tests::plans_test
