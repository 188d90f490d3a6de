#include <cmath>
#include <map>

#include "tests/support/op_case.h"

namespace unet::tests::max_pool2d_test {
namespace {

constexpr kernels::PoolSpec kOverlapping{3, 2, 1};

OpCase pool_case(const std::string& name, const Shape& x, std::int64_t extra = 0, const kernels::PoolSpec& spec = {}) {
  return {name, {Input(x, Fill::spaced, extra)}, [spec](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{max_pool2d(tape, in[0], spec)};
          }};
}

OpCase overlapping_case(const std::string& name, const Shape& x, std::int64_t extra = 0) {
  return pool_case("overlapping_" + name, x, extra, kOverlapping);
}

std::vector<OpCase> cases() {
  return {
      pool_case("even", {2, 4, 6, 8}),
      pool_case("odd_height", {1, 5, 4, 3}),
      pool_case("odd_width", {1, 4, 5, 9}),
      pool_case("odd_both", {2, 7, 5, 6}),
      pool_case("one_window", {1, 2, 2, 5}),
      pool_case("one_window_odd", {1, 3, 3, 1}),
      pool_case("wide", {1, 4, 4, 67}),
      pool_case("pitched", {2, 4, 4, 4}, 4),
      pool_case("pitched_odd", {1, 5, 7, 3}, 2),
      pool_case("large", {2, 31, 33, 5}),
      overlapping_case("even", {2, 4, 6, 8}),
      overlapping_case("odd", {1, 5, 7, 3}),
      overlapping_case("pixel", {2, 1, 1, 5}),
      overlapping_case("row", {1, 1, 8, 4}),
      overlapping_case("column", {1, 7, 1, 9}),
      overlapping_case("small", {1, 2, 2, 1}),
      overlapping_case("wide", {1, 4, 4, 67}),
      overlapping_case("pitched", {2, 4, 5, 4}, 4),
      overlapping_case("odd_pitch", {1, 6, 3, 3}, 2),
      overlapping_case("large", {2, 31, 70, 5}),
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

TEST(MaxPool2d, OverlappingWindowsAddUpAtATie) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
    Tape tape;
    // All equal: the first pixel inside each window wins, which may be the first of several windows.
    const Var x = tape.leaf(Tensor::of({1, 4, 4, 1}, dtype, std::vector<double>(16, 2)));
    const Var y = max_pool2d(tape, x, kOverlapping);
    EXPECT_EQ(y.value.values<double>(), (std::vector<double>(4, 2)));
    tape.backward(weighted_sum(tape, {y}, {Tensor::of<double>({1, 2, 2, 1}, dtype, {5, 6, 7, 8})}));
    EXPECT_EQ(tape.gradient(x).values<double>(), (std::vector<double>{5, 6, 0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  }
  Tape tape;  // one pixel that four windows see
  std::vector<double> values(16, 0);
  values[5] = 1;
  const Var x = tape.leaf(Tensor::of({1, 4, 4, 1}, Dtype::f32, values));
  tape.backward(weighted_sum(tape, {max_pool2d(tape, x, kOverlapping)},
                             {Tensor::of<double>({1, 2, 2, 1}, Dtype::f32, {5, 6, 7, 8})}));
  EXPECT_EQ(tape.gradient(x).values<double>()[5], 26);
}

TEST(MaxPool2d, OfSeveralNaNTheLastWinsAsInPyTorch) {
  std::vector<double> values(49), slopes(16), expected(49, 0);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = -static_cast<double>(i);
  for (const std::size_t i : {1, 7, 16, 24, 25}) values[i] = NAN;
  for (std::size_t i = 0; i < slopes.size(); ++i) slopes[i] = static_cast<double>(i + 1);
  // Of PyTorch 1.13: the gradient of max_pool2d(x, 3, 2, 1) where that of the result is 1, 2, ..., 16.
  for (const auto& [at, gradient] : std::map<std::size_t, double>{{1, 2},
                                                                  {3, 3},
                                                                  {5, 4},
                                                                  {7, 6},
                                                                  {12, 8},
                                                                  {21, 9},
                                                                  {24, 16},
                                                                  {25, 18},
                                                                  {26, 12},
                                                                  {35, 13},
                                                                  {36, 14},
                                                                  {38, 15},
                                                                  {40, 16}}) {
    expected[at] = gradient;
  }
  Tape tape;
  const Var x = tape.leaf(Tensor::of({1, 7, 7, 1}, Dtype::f32, values));
  tape.backward(
      weighted_sum(tape, {max_pool2d(tape, x, kOverlapping)}, {Tensor::of({1, 4, 4, 1}, Dtype::f32, slopes)}));
  EXPECT_EQ(tape.gradient(x).values<double>(), expected);
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
  EXPECT_EQ(error_of([&] {
              max_pool2d(tape, tape.input(Tensor::zeros({1, 6, 6, 1}, Dtype::f32)), {3, 3, 0});
            }),
            "max_pool2d: kernel 3, stride 3, pad 0; there are 2, 2, 0 and 3, 2, 1");
}

}  // namespace
}  // namespace unet::tests::max_pool2d_test
