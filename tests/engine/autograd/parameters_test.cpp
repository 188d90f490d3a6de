#include "engine/autograd/parameters.h"

#include "engine/core/pool.h"
#include "engine/nn/layers.h"
#include "engine/ops/ops.h"
#include "tests/support/op_case.h"

namespace unet::tests::parameters_test {
namespace {

/// A layer of 64 -> 64 channels, 3x3, on parameters that are for training, or not.
struct Layer {
  explicit Layer(bool for_training) : parameters(Dtype::f32, {}, false, for_training) { parameters.initialize(3); }
  Parameters parameters;
  nn::ConvNormAct of{parameters, "conv", "norm", 64, 64};
};

Var forward(Tape& tape, const Layer& layer) {
  const Tensor x = Tensor::of({1, 4, 4, 64}, Dtype::f32, normal_values(4 * 4 * 64, 5));
  return layer.of.forward(tape, tape.input(x), {}).y;
}

std::vector<double> inferred(const Layer& layer) {
  Tape tape(Tape::Mode::inference);
  return forward(tape, layer).value.values<double>();
}

TEST(ParametersNotForTraining, AreZeroUntilTheyAreReadAndThenTheSame) {
  const Layer drawn(true);
  Layer empty(false);
  EXPECT_EQ(empty.parameters.values().shape(), drawn.parameters.values().shape());
  for (const double value : empty.parameters.value({0}).values<double>()) EXPECT_EQ(value, 0);
  EXPECT_EQ(empty.parameters.value({1}).values<double>(), std::vector<double>(64, 1)) << "constants are as ever";
  EXPECT_NE(inferred(empty), inferred(drawn));
  Tensor values = drawn.parameters.values().clone(), running = drawn.parameters.running().clone();
  empty.parameters.exchange(values, running);
  EXPECT_EQ(inferred(empty), inferred(drawn));
}

TEST(ParametersNotForTraining, TakeHalfOfTheMemoryAndHaveNoGradients) {
  const auto grown = [](bool for_training) {
    const std::size_t before = cpu_pool().stats().in_use;
    const Layer layer(for_training);
    return cpu_pool().stats().in_use - before;
  };
  EXPECT_LT(grown(false), 0.6 * static_cast<double>(grown(true)));

  Layer layer(false);
  const std::string message = "these parameters have no gradients: they are not for training";
  EXPECT_EQ(error_of([&] { layer.parameters.gradient({0}); }), message);
  EXPECT_EQ(error_of([&] { layer.parameters.gradients(); }), message);
  EXPECT_EQ(
      error_of([&] {
        Tape tape;
        const Var y = forward(tape, layer);
        tape.backward(weighted_sum(tape, {y}, {Tensor::of(y.shape(), Dtype::f32, normal_values(y.shape().size(), 6))}));
      }),
      message);
}

}  // namespace
}  // namespace unet::tests::parameters_test
