#include <cmath>

#include "tests/support/op_case.h"

namespace unet::tests::relu_test {
namespace {

OpCase relu_case(const std::string& name, const Shape& x, std::int64_t extra = 0) {
  return {name, {Input(x, Fill::spaced, extra)}, [](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{relu(tape, in[0])};
          }};
}

std::vector<OpCase> cases() {
  return {
      relu_case("even", {2, 4, 4, 8}),       relu_case("odd", {1, 5, 3, 7}),
      relu_case("one_pixel", {1, 1, 1, 5}),  relu_case("one_value", {1, 1, 1, 1}),
      relu_case("wide", {1, 3, 3, 70}),      relu_case("many_pixels", {2, 31, 29, 3}),
      relu_case("pitched", {2, 3, 5, 4}, 3), relu_case("pitched_wide", {1, 4, 4, 33}, 31),
      relu_case("one_row", {3, 1, 9, 2}),
  };
}

INSTANTIATE_TEST_SUITE_P(Relu, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Relu, Precision, testing::ValuesIn(cases()), case_name);

TEST(Relu, ZeroHasNoGradientAndNaNComesThrough) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Tape tape;
    const Var x = tape.leaf(Tensor::of<double>({1, 1, 1, 4}, dtype, {-1, 0, 2, NAN}));
    const Var y = relu(tape, x);
    const std::vector<double> values = y.value.values<double>();
    EXPECT_EQ(std::vector<double>(values.begin(), values.begin() + 3), (std::vector<double>{0, 0, 2}));
    EXPECT_TRUE(std::isnan(values[3]));
    tape.backward(weighted_sum(tape, {y}, {Tensor::of<double>({1, 1, 1, 4}, dtype, {5, 5, 5, 5})}));
    const std::vector<double> dx = tape.gradient(x).values<double>();
    EXPECT_EQ(std::vector<double>(dx.begin(), dx.begin() + 3), (std::vector<double>{0, 0, 5}));
  }
}

TEST(Relu, SaysWhatIsWrong) {
  Tape tape;
  EXPECT_EQ(error_of([&] { relu(tape, {}); }), "relu: x is not given");
  EXPECT_EQ(error_of([&] {
              relu(tape, tape.input(Tensor::zeros({4, 8}, Dtype::f32)));
            }),
            "relu: x must be [N,H,W,C] with at least one element, got [4,8]");
  EXPECT_EQ(error_of([&] {
              relu(tape, tape.input(Tensor::zeros({1, 1, 1, 8}, Dtype::u8)));
            }),
            "relu: x must be f32, f64 or bf16, got u8");
}

}  // namespace
}  // namespace unet::tests::relu_test
