#include <cmath>

#include "tests/support/op_case.h"

namespace unet::tests {
namespace {

OpCase pool_case(const std::string& name, const Shape& x, std::int64_t extra = 0) {
  return {name, {Input(x, Fill::spaced, extra)}, [](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{max_pool2d(tape, in[0])};
          }};
}

std::vector<OpCase> cases() {
  return {
      pool_case("even", {2, 4, 6, 8}),           pool_case("odd_height", {1, 5, 4, 3}),
      pool_case("odd_width", {1, 4, 5, 9}),      pool_case("odd_both", {2, 7, 5, 6}),
      pool_case("one_window", {1, 2, 2, 5}),     pool_case("one_window_odd", {1, 3, 3, 1}),
      pool_case("wide", {1, 4, 4, 67}),          pool_case("pitched", {2, 4, 4, 4}, 4),
      pool_case("pitched_odd", {1, 5, 7, 3}, 2), pool_case("large", {2, 31, 33, 5}),
  };
}

INSTANTIATE_TEST_SUITE_P(MaxPool2d, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(MaxPool2d, Precision, testing::ValuesIn(cases()), case_name);

TEST(MaxPool2d, FirstMaximumWinsAndNaNWins) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Tape tape;
    // Two windows side by side, two channels: channel 0 has ties, channel 1 a NaN in the first window.
    const Var x =
        tape.leaf(Tensor::of<double>({1, 2, 4, 2}, dtype, {1, 1, 3, NAN, 2, 2, 2, 2, 3, 9, 3, 9, 2, 2, 2, 2}));
    const Var y = max_pool2d(tape, x);
    const std::vector<double> values = y.value.values<double>();
    EXPECT_EQ(values[0], 3);
    EXPECT_TRUE(std::isnan(values[1]));
    EXPECT_EQ(values[2], 2);
    tape.backward(weighted_sum(tape, {y}, {Tensor::of<double>({1, 1, 2, 2}, dtype, {5, 6, 7, 8})}));
    EXPECT_EQ(tape.gradient(x).values<double>(), (std::vector<double>{0, 0, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  }
}

TEST(MaxPool2d, AnUnusedResultIsNoTrouble) {
  Tape tape;
  const Var x = tape.leaf(Tensor::of({1, 2, 2, 1}, Dtype::f64, normal_values(4, 1)));
  max_pool2d(tape, x);
  tape.backward(weighted_sum(tape, {relu(tape, x)}, {Tensor::of<double>({1, 2, 2, 1}, Dtype::f64, {1, 1, 1, 1})}));
  std::vector<double> expected;
  for (const double v : normal_values(4, 1)) expected.push_back(v > 0 ? 1 : 0);
  EXPECT_EQ(tape.gradient(x).values<double>(), expected);
}

TEST(MaxPool2d, SaysWhatIsWrong) {
  Tape tape;
  EXPECT_EQ(error_of([&] {
              max_pool2d(tape, tape.input(Tensor::zeros({2, 1, 4, 8}, Dtype::f32)));
            }),
            "max_pool2d: x must have at least 2x2 pixels, got [2,1,4,8] (N,H,W,C)");
  EXPECT_EQ(error_of([&] { max_pool2d(tape, {}); }), "max_pool2d: x is not given");
}

}  // namespace
}  // namespace unet::tests
