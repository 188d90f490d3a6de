#include "engine/nn/layers.h"

#include <cmath>

#include "tests/support/op_case.h"

namespace unet::tests::layers_test {
namespace {

TEST(HeadConv2dLayer, BeginsAsXavierAndIsTheOp) {
  Parameters parameters;
  const nn::HeadConv2d head(parameters, "segmentation_head.0", 16, 2);
  parameters.initialize(7);
  ASSERT_EQ(parameters.params().size(), 2u);
  EXPECT_EQ(parameters.params()[0].name, "segmentation_head.0.weight");
  EXPECT_EQ(parameters.params()[0].shape, (Shape{2, 3, 3, 16}));
  EXPECT_EQ(parameters.params()[1].name, "segmentation_head.0.bias");
  EXPECT_EQ(parameters.params()[1].shape, (Shape{2}));
  const Tensor weight = parameters.value({0}), bias = parameters.value({1});
  const double bound = std::sqrt(6.0 / (9 * 16 + 9 * 2));
  double largest = 0;
  for (const double w : weight.values<double>()) largest = std::max(largest, std::abs(w));
  EXPECT_LE(largest, bound);
  EXPECT_GE(largest, 0.95 * bound);  // of 288 values
  EXPECT_EQ(bias.values<double>(), (std::vector<double>{0, 0}));

  Tape tape;
  std::string shown;
  tape.watch([&](const std::string& layer, const Tensor&) { shown += layer; });
  const Var x = tape.input(Tensor::of({1, 4, 5, 16}, Dtype::f32, normal_values(320, 1)));
  const Var y = head.forward(tape, x);
  EXPECT_EQ(shown, "segmentation_head.0");
  EXPECT_EQ(y.value.values<double>(),
            head_conv2d(tape, x, tape.input(weight), tape.input(bias)).value.values<double>());
  tape.backward(weighted_sum(tape, {y}, {Tensor::of({1, 4, 5, 2}, Dtype::f32, normal_values(40, 2))}));
  EXPECT_TRUE(parameters.has_gradient({0}));
  EXPECT_TRUE(parameters.has_gradient({1}));
}

}  // namespace
}  // namespace unet::tests::layers_test
