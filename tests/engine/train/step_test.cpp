// A step: its passes and their shares, its verdict, statistics and results; what follows it; and misuse.
#include "engine/train/step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/core/dispatch.h"
#include "kernels/running_stats.h"
#include "tests/engine/train/toy.h"

namespace unet::tests::step_test {
namespace {

TEST(Step, APassCountsByItsImages) {
  const auto gradients = [](const std::vector<std::uint64_t>& batches, const std::vector<std::int64_t>& images) {
    Toy toy;
    Adam adam(toy.parameters, {});
    Step step(toy.parameters, adam);
    step.begin({.lr = 1e-3, .images = images});
    for (const std::uint64_t batch : batches) toy.pass(step, batch);
    const std::vector<double> sum = toy.parameters.gradients().at(0).values<double>();
    step.commit();
    return std::pair(sum, step.take_result().value());
  };
  const auto [first, alone] = gradients({1}, {1});
  const auto [second, other] = gradients({2}, {7});
  const auto [both, together] = gradients({1, 2}, {1, 3});
  double largest = 0;
  for (std::size_t i = 0; i < both.size(); ++i) {
    EXPECT_NEAR(both[i], 0.25 * first[i] + 0.75 * second[i], 1e-12);
    largest = std::max(largest, std::abs(both[i]));
  }
  EXPECT_GT(largest, 1e-3);
  EXPECT_EQ(together.losses, (std::vector<double>{alone.loss, other.loss}));
  EXPECT_EQ(together.loss, alone.loss * 0.25 + other.loss * 0.75);
}

TEST(Step, ResultsComeInOrderWithWhatTheStepWasGiven) {
  Toy toy;
  Adam adam(toy.parameters, {});
  Step step(toy.parameters, adam);
  EXPECT_FALSE(step.take_result());
  for (const int i : {1, 2, 3}) {
    step.begin({.lr = 1e-3 * i, .clip_norm = 0.5, .images = std::vector<std::int64_t>(static_cast<std::size_t>(i), 4)});
    for (int pass = 0; pass < i; ++pass) toy.pass(step, 1);
    step.commit();
  }
  for (const int i : {1, 2, 3}) {
    EXPECT_FALSE(step.take_result(static_cast<std::size_t>(4 - i)));
    const StepResult result = step.take_result(static_cast<std::size_t>(3 - i)).value();
    EXPECT_TRUE(result.committed);
    EXPECT_EQ(result.settings.lr, 1e-3 * i);
    EXPECT_EQ(result.settings.clip_norm, 0.5);
    EXPECT_EQ(result.settings.images.size(), static_cast<std::size_t>(i));
    EXPECT_EQ(result.losses.size(), static_cast<std::size_t>(i));
  }
  EXPECT_FALSE(step.take_result());
  EXPECT_EQ(adam.steps(), 3);
}

TEST(Step, OneThatIsGivenUpLeavesNoTrace) {
  const auto values = [](bool give_up) {
    Toy toy;
    Adam adam(toy.parameters, {});
    Step step(toy.parameters, adam);
    if (give_up) {
      step.begin({.lr = 1, .images = {1, 1}});
      toy.pass(step, 5);
    }
    toy.step(step, 1);
    EXPECT_EQ(toy.parameters.stats()[0].batches_tracked, 1);
    return std::pair(toy.parameters.values().values<double>(), toy.parameters.running().values<double>());
  };
  EXPECT_EQ(values(true), values(false));
}

TEST(Step, MisuseIsAnErrorThatSaysWhat) {
  Toy toy;
  Adam adam(toy.parameters, {});
  Step step(toy.parameters, adam);
  EXPECT_EQ(error_of([&] { toy.pass(step, 1); }), "backward: no step has begun");
  EXPECT_EQ(error_of([&] { step.commit(); }), "commit: no step has begun");
  EXPECT_EQ(error_of([&] { step.begin({.images = {}}); }), "begin: a step needs a pass at least");
  EXPECT_EQ(error_of([&] { step.begin({.images = {4, 0}}); }), "begin: a pass of 0 images; it needs one at least");
  EXPECT_EQ(error_of([&] { step.commit(); }), "commit: no step has begun") << "nor by an attempt";
  step.begin({.lr = 1e-3, .images = {4, 4}});
  toy.pass(step, 1);
  EXPECT_EQ(error_of([&] { step.commit(); }), "commit: 1 of the step's 2 passes have run");
  Tape tape;
  EXPECT_EQ(error_of([&] { step.backward(tape, Var()); }), "backward: the loss must be a scalar [1], got []");
  EXPECT_EQ(error_of([&] { step.backward(tape, tape.leaf(Tensor::zeros({1}, Dtype::f32))); }),
            "backward: the loss must be f64 on cpu, got f32 on cpu");
  toy.pass(step, 1);
  EXPECT_EQ(error_of([&] { toy.pass(step, 1); }), "backward: the step has no pass left, it was begun with 2");
  step.commit();
  EXPECT_EQ(error_of([&] { step.commit(); }), "commit: no step has begun");
  EXPECT_TRUE(step.take_result()->committed);
}

/// What is added to a step by whoever wants an exponential moving average of the weights: all of it.
TEST(Step, AnAverageOfTheWeightsFollowsItsVerdict) {
  Toy toy;
  Adam adam(toy.parameters, {});
  Step step(toy.parameters, adam);

  const Tensor average = toy.parameters.values().clone();
  step.after_update([&](const kernels::StepControl* control) {
    dispatch<cpu::update_running_stats, cuda::update_running_stats>(
        average.device(), 0.25, control, toy.parameters.values().const_view(), average.view());
  });

  std::vector<double> expected = average.values<double>();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double lr : {0.1, nan, 0.05, 0.1}) {
    const bool committed = toy.step(step, 1, lr).committed;
    EXPECT_EQ(committed, !std::isnan(lr));
    const std::vector<double> now = toy.parameters.values().values<double>();
    for (std::size_t i = 0; committed && i < now.size(); ++i) expected[i] += 0.25 * (now[i] - expected[i]);
    EXPECT_LE(max_relative(average.values<double>(), expected), 1e-15);
  }
  EXPECT_GT(max_relative(average.values<double>(), toy.parameters.values().values<double>()), 1e-3);
}

/// The running statistics that a batch norm has after it saw these.
std::vector<double> folded(std::vector<double> running, const std::vector<std::vector<double>>& batches) {
  for (const std::vector<double>& batch : batches) {
    for (std::size_t i = 0; i < running.size(); ++i) running[i] = 0.9 * running[i] + 0.1 * batch[i];
  }
  return running;
}

TEST(StepStatistics, CountEveryUseOfABatchNormAndLeaveAnUnusedOne) {
  Parameters parameters(Dtype::f64);
  const nn::ConvNormAct idle(parameters, "idle.conv", "idle.norm", 2, 2, 1), twice(parameters, "conv", "norm", 2, 2, 1),
      behind(parameters, "behind.conv", "behind.norm", 2, 2, 1);
  parameters.initialize(3);
  Adam adam(parameters, {});
  Step step(parameters, adam);
  for (const StatsId id : {StatsId{0}, StatsId{1}, StatsId{2}})
    kernels::cpu::fill(parameters.running(id).mean.view(), 3);
  step.begin({.lr = 1e-3});
  Tape tape;
  Var x = tape.input(Tensor::of({2, 4, 4, 2}, Dtype::f64, normal_values(64, 1)));
  x = behind.forward(tape, twice.forward(tape, twice.forward(tape, x)));
  step.backward(tape, softmax_cross_entropy(tape, x, random_labels({2, 4, 4}, 2, 1)));
  ASSERT_EQ(parameters.pending().size(), 2u);
  const auto batch = [&](int norm, std::size_t use) {
    const Parameters::Stats& stats = parameters.stats()[static_cast<std::size_t>(norm)];
    return parameters.pending()[use].range(stats.mean_offset, {stats.channels}).values<double>();
  };
  const auto mean = [&](int norm) { return parameters.running({norm}).mean.values<double>(); };
  const std::vector<double> of_twice = folded(mean(1), {batch(1, 0), batch(1, 1)}),
                            of_behind = folded(mean(2), {batch(2, 0)});
  EXPECT_NE(batch(1, 0), batch(1, 1));
  step.commit();
  ASSERT_TRUE(step.take_result()->committed);
  EXPECT_EQ(mean(0), (std::vector<double>{3, 3})) << "it saw nothing";
  EXPECT_LE(max_relative(mean(1), of_twice), 1e-15);
  EXPECT_LE(max_relative(mean(2), of_behind), 1e-15);
  EXPECT_EQ(parameters.stats()[0].batches_tracked, 0);
  EXPECT_EQ(parameters.stats()[1].batches_tracked, 2);
  EXPECT_EQ(parameters.stats()[2].batches_tracked, 1);
}

TEST(StepStatistics, InferenceAsksForNone) {
  Toy toy;
  Tape tape(Tape::Mode::inference);
  toy.loss(tape, 1);
  EXPECT_TRUE(toy.parameters.pending().empty());
}

}  // namespace
}  // namespace unet::tests::step_test
