// NaN and Inf never become part of a model: seen in the same step, wherever they come from, and then nothing that lasts
// changes: weights, moments, running statistics, counters.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "engine/core/rng.h"
#include "engine/ops/ops.h"
#include "engine/train/adam.h"
#include "engine/train/step.h"
#include "kernels/cpu/parallel.h"
#include "models/unet.h"

namespace unet::test::not_finite_test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> floats_of(const Tensor& tensor) {
  const auto* data = tensor.data<float>();
  return {data, data + tensor.size()};
}

class NotFinite : public testing::Test {
 protected:
  struct State {
    std::vector<float> values, m, v, running;
    std::vector<std::int64_t> tracked;
    std::int64_t steps;
    bool operator==(const State&) const = default;
  };

  NotFinite() {
    kernels::cpu::set_threads(1);
    for (std::size_t i = 0; i < images_.size(); ++i) {
      images_[i] = static_cast<float>(random_bits(1, Purpose::test, i, 0) % 1000) / 500 - 1;
    }
    for (std::size_t i = 0; i < labels_.size(); ++i) labels_[i] = static_cast<std::uint8_t>(i / 5 % 2);
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(commit(1e-3).committed) << "a step that is well";
  }

  /// Forward and backward of one batch.
  void pass() {
    Tape tape;
    const Var images = tape.input(Tensor::copy_of({2, 16, 16, 3}, Dtype::f32, images_.data()));
    step_.backward(tape, softmax_cross_entropy(tape, model_.forward(tape, images),
                                               Tensor::copy_of({2, 16, 16}, Dtype::u8, labels_.data())));
  }
  /// A step of one pass; `spoil` comes before its commit.
  StepResult commit(double lr, const std::function<void()>& spoil = {}) {
    step_.begin({.lr = lr});
    pass();
    if (spoil) spoil();
    step_.commit();
    return step_.take_result().value();
  }
  State state() {
    State out{floats_of(parameters_.values()),
              floats_of(adam_.m()),
              floats_of(adam_.v()),
              floats_of(parameters_.running()),
              {},
              adam_.steps()};
    for (const Parameters::Stats& stats : parameters_.stats()) out.tracked.push_back(stats.batches_tracked);
    return out;
  }
  /// The step must be dropped with these words, and nothing else happen; the next one must be committed.
  void expect_dropped(const std::vector<std::string>& says, double lr = 1e-3, const std::function<void()>& spoil = {}) {
    const State before = state();
    const StepResult result = commit(lr, spoil);
    EXPECT_FALSE(result.committed);
    for (const std::string& word : says) EXPECT_NE(result.reason.find(word), std::string::npos) << result.reason;
    EXPECT_TRUE(state() == before) << "the dropped step left a trace";
  }

  std::vector<float> images_ = std::vector<float>(2 * 16 * 16 * 3);
  std::vector<std::uint8_t> labels_ = std::vector<std::uint8_t>(2 * 16 * 16);
  models::UNet model_{models::SegmenterSpec{3, 2, 2, false}, 1};
  Parameters& parameters_ = model_.parameters();
  Adam adam_{parameters_, {}};
  Step step_{parameters_, adam_};
};

TEST_F(NotFinite, InTheInput) {
  for (const float bad : {kNan, kInf, -kInf}) {
    const float before = std::exchange(images_[7], bad);
    expect_dropped({"the loss is nan", "inc.double_conv.1"});
    images_[7] = before;
    EXPECT_TRUE(commit(1e-3).committed);
  }
}

TEST_F(NotFinite, InAWeightNamesItsLayer) {
  // The batch norm that first sees what the convolution before it computes.
  for (const auto& [weight, layer] :
       {std::pair<std::string, std::string>{"inc.double_conv.0.weight", "inc.double_conv.1"},
        {"down2.maxpool_conv.1.double_conv.3.weight", "down2.maxpool_conv.1.double_conv.4"},
        {"up3.conv.double_conv.0.weight", "up3.conv.double_conv.1"}}) {
    bool found = false;
    for (std::size_t i = 0; i < parameters_.params().size(); ++i) {
      if (parameters_.params()[i].name != weight) continue;
      found = true;
      float& value = parameters_.value({static_cast<int>(i)}).data<float>()[3];
      const float before = std::exchange(value, kInf);
      const StepResult result = commit(1e-3);
      EXPECT_FALSE(result.committed);
      EXPECT_NE(result.reason.find("\"" + layer + "\""), std::string::npos) << result.reason;
      value = before;
      EXPECT_TRUE(commit(1e-3).committed);
    }
    EXPECT_TRUE(found) << weight;
  }
}

TEST_F(NotFinite, InAGradientNamesItsParameter) {
  for (const float bad : {kNan, kInf, 1e19f}) {
    const ParamId last{static_cast<int>(parameters_.params().size()) - 1};
    const auto spoil = [&] { parameters_.gradient(last).data<float>()[0] = bad; };
    if (std::isfinite(bad)) {
      expect_dropped({"the gradients' norm is 1.000e+19"}, 1e-3, spoil);
    } else {
      expect_dropped({"the gradients' norm is", parameters_.name(last)}, 1e-3, spoil);
    }
    EXPECT_TRUE(commit(1e-3).committed);
  }
}

TEST_F(NotFinite, InTheStatisticsOfABatchNorm) {
  for (const float bad : {kNan, kInf}) {
    const Parameters::Stats& stats = parameters_.stats()[4];
    expect_dropped({"statistics", "\"" + stats.name + "\""}, 1e-3,
                   [&] { parameters_.pending()[0].data<float>()[stats.variance_offset] = bad; });
    EXPECT_TRUE(commit(1e-3).committed);
  }
}

TEST_F(NotFinite, InOneOfTheAccumulatedPasses) {
  const State before = state();
  step_.begin({.lr = 1e-3, .images = {2, 2, 2}});
  for (const int i : {0, 1, 2}) {
    const float sound = std::exchange(images_[7], i == 1 ? kNan : images_[7]);
    pass();
    images_[7] = sound;
  }
  step_.commit();
  const StepResult result = step_.take_result().value();
  EXPECT_FALSE(result.committed);
  for (const char* word : {"the loss is nan", "inc.double_conv.1"}) {
    EXPECT_NE(result.reason.find(word), std::string::npos) << result.reason;
  }
  EXPECT_TRUE(state() == before) << "the dropped step left a trace";
  EXPECT_TRUE(commit(1e-3).committed);
}

TEST_F(NotFinite, LearningRatesThatWouldMakeThem) {
  for (const double lr : {1e30, 1.0001e4, -1e-3, static_cast<double>(kInf), static_cast<double>(kNan)}) {
    expect_dropped({"the learning rate is"}, lr);
    EXPECT_TRUE(commit(1e-3).committed);
  }
  for (int i = 0; i < 50; ++i) commit(kernels::StepControl::kMaxLr);  // committed or dropped, the model stays finite
  for (const float value : state().values) ASSERT_TRUE(std::isfinite(value));
  for (const float value : state().running) ASSERT_TRUE(std::isfinite(value));
  for (const float value : state().m) ASSERT_TRUE(std::isfinite(value));
  for (const float value : state().v) ASSERT_TRUE(std::isfinite(value) && value >= 0);
}

}  // namespace
}  // namespace unet::test::not_finite_test
