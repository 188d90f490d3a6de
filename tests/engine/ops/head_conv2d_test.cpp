#include "tests/support/op_case.h"

namespace unet::tests::head_conv2d_test {
namespace {

OpCase head_case(const std::string& name, const Shape& x, std::int64_t K, bool bias = true) {
  std::vector<Input> inputs{Input(x), Input({K, 3, 3, x[3]})};
  if (bias) inputs.push_back(Input({K}));
  return {name, inputs, [](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{head_conv2d(tape, in[0], in[1], in.size() > 2 ? in[2] : Var())};
          }};
}

std::vector<OpCase> cases() {
  return {
      head_case("two_classes", {2, 4, 5, 16}, 2),     head_case("no_bias_odd", {1, 5, 7, 3}, 5, false),
      head_case("one_pixel", {1, 1, 1, 6}, 3),        head_case("one_channel", {1, 3, 2, 1}, 1),
      head_case("one_column", {1, 6, 1, 8}, 2),       head_case("channels_not_of_8", {3, 3, 5, 13}, 1),
      head_case("many_outputs", {2, 3, 4, 16}, 20),   head_case("one_row", {2, 1, 9, 2}, 4, false),
      head_case("several_blocks", {1, 40, 50, 4}, 2), head_case("wide", {1, 3, 70, 17}, 3),
  };
}

INSTANTIATE_TEST_SUITE_P(HeadConv2d, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(HeadConv2d, Precision, testing::ValuesIn(cases()), case_name);

TEST(HeadConv2d, EqualsTheConvolution) {
  const Tensor x = Tensor::of({2, 5, 3, 9}, Dtype::f64, normal_values(270, 1));
  const Tensor weight = Tensor::of({4, 3, 3, 9}, Dtype::f64, normal_values(324, 2));
  const Tensor bias = Tensor::of({4}, Dtype::f64, normal_values(4, 3));
  Tape tape;
  const Var y = head_conv2d(tape, tape.input(x), tape.input(weight), tape.input(bias));
  const Var z = conv2d(tape, tape.input(x), tape.input(weight), tape.input(bias), {.pad = 1});
  EXPECT_LE(max_relative(y.value.values<double>(), z.value.values<double>()), 1e-13);
}

TEST(HeadConv2d, SaysWhatIsWrong) {
  Tape tape;
  const auto zeros = [&](const Shape& shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor::zeros(shape, dtype));
  };
  const Var x = zeros({2, 4, 4, 8});
  Var weight = zeros({2, 3, 3, 16});
  weight.name = "segmentation_head.0.weight";
  EXPECT_EQ(error_of([&] { head_conv2d(tape, x, weight, {}); }),
            "head_conv2d \"segmentation_head.0.weight\": weight [2,3,3,16] (K,3,3,C) expects C=16, but x is [2,4,4,8] "
            "(N,H,W,C)");
  EXPECT_EQ(error_of([&] {
              head_conv2d(tape, x, zeros({2, 1, 1, 8}), {});
            }),
            "head_conv2d: weight must be (K,3,3,C), got [2,1,1,8]");
  EXPECT_EQ(error_of([&] {
              head_conv2d(tape, x, zeros({2, 3, 3, 8}, Dtype::f64), {});
            }),
            "head_conv2d: weight is f64 but x is f32");
  EXPECT_EQ(error_of([&] {
              head_conv2d(tape, x, zeros({2, 3, 3, 8}), zeros({3}));
            }),
            "head_conv2d: bias must be [2] (K), got [3]");
  const Tensor wide = Tensor::zeros({1, 4, 4, 16}, Dtype::f32);
  EXPECT_EQ(error_of([&] {
              head_conv2d(tape, tape.input(wide.slice(8, 16)), zeros({2, 3, 3, 8}), {});
            }),
            "head_conv2d: x [1,4,4,8] is a slice (pitch 16); a dense tensor is expected");
}

}  // namespace
}  // namespace unet::tests::head_conv2d_test
