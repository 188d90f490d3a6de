#include "tests/support/op_case.h"

namespace unet::tests::pixel_linear_test {
namespace {

OpCase linear_case(const std::string& name, const Shape& x, std::int64_t K, bool bias = true) {
  std::vector<Input> inputs{Input(x), Input({K, 1, 1, x[3]})};
  if (bias) inputs.push_back(Input({K}));
  return {name, inputs, [](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{pixel_linear(tape, in[0], in[1], in.size() > 2 ? in[2] : Var())};
          }};
}

std::vector<OpCase> cases() {
  return {
      linear_case("two_classes", {2, 4, 3, 8}, 2),
      linear_case("no_bias_odd", {1, 5, 7, 3}, 5, false),
      linear_case("one_pixel", {1, 1, 1, 6}, 3),
      linear_case("one_channel", {1, 3, 2, 1}, 1),
      linear_case("wide", {1, 6, 6, 64}, 2),
      linear_case("channels_not_of_8", {3, 3, 5, 13}, 1),
      linear_case("many_outputs", {2, 3, 4, 16}, 21),
      linear_case("one_row", {2, 1, 9, 10}, 4, false),
      linear_case("several_blocks", {1, 40, 50, 17}, 2),
  };
}

INSTANTIATE_TEST_SUITE_P(PixelLinear, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(PixelLinear, Precision, testing::ValuesIn(cases()), case_name);

TEST(PixelLinear, EqualsTheConvolution) {
  const Tensor x = Tensor::of({2, 5, 3, 9}, Dtype::f64, normal_values(270, 1));
  const Tensor weight = Tensor::of({4, 1, 1, 9}, Dtype::f64, normal_values(36, 2));
  const Tensor bias = Tensor::of({4}, Dtype::f64, normal_values(4, 3));
  Tape tape;
  const Var y = pixel_linear(tape, tape.input(x), tape.input(weight), tape.input(bias));
  const Var z = conv2d(tape, tape.input(x), tape.input(weight), tape.input(bias));
  EXPECT_LE(max_relative(y.value.values<double>(), z.value.values<double>()), 1e-14);
}

TEST(PixelLinear, SaysWhatIsWrong) {
  Tape tape;
  const auto zeros = [&](const Shape& shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor::zeros(shape, dtype));
  };
  const Var x = zeros({2, 4, 4, 8});
  Var weight = zeros({2, 1, 1, 16});
  weight.name = "outc.conv.weight";
  EXPECT_EQ(error_of([&] { pixel_linear(tape, x, weight, {}); }),
            "pixel_linear \"outc.conv.weight\": weight [2,1,1,16] (K,1,1,C) expects C=16, but x is [2,4,4,8] "
            "(N,H,W,C)");
  EXPECT_EQ(error_of([&] {
              pixel_linear(tape, x, zeros({2, 3, 3, 8}), {});
            }),
            "pixel_linear: weight must be (K,1,1,C), got [2,3,3,8]");
  EXPECT_EQ(error_of([&] {
              pixel_linear(tape, x, zeros({2, 1, 1, 8}, Dtype::f64), {});
            }),
            "pixel_linear: weight is f64 but x is f32");
  EXPECT_EQ(error_of([&] {
              pixel_linear(tape, x, zeros({2, 1, 1, 8}), zeros({3}));
            }),
            "pixel_linear: bias must be [2] (K), got [3]");
  const Tensor wide = Tensor::zeros({1, 4, 4, 16}, Dtype::f32);
  EXPECT_EQ(error_of([&] {
              pixel_linear(tape, tape.input(wide.slice(8, 16)), zeros({2, 1, 1, 8}), {});
            }),
            "pixel_linear: x [1,4,4,8] is a slice (pitch 16); a dense tensor is expected");
}

}  // namespace
}  // namespace unet::tests::pixel_linear_test
