#include <cmath>

#include "tests/support/op_case.h"

namespace unet::tests::norm_act_test {
namespace {

NormActOptions options_of(bool relu, bool pool, const Var& residual = {}, const Tensor& out = {},
                          bool training = true) {
  NormActOptions options;
  options.relu = relu;
  options.pool = pool;
  options.residual = residual;
  options.out = out;
  options.training = training;
  return options;
}

struct NormCase {
  std::string name;
  Shape x;
  bool relu = true, pool = false, residual = false, training = true;
  std::int64_t x_extra = 0;     // x (and the residual) as a slice of a tensor this much wider
  std::int64_t out_extra = -1;  // >= 0: y goes into a slice of a tensor this much wider
  double epsilon = 1e-5;
  bool pooled_alone = false;  // only the pooled output is used
};

OpCase norm_case(const NormCase& c) {
  const Shape vector{c.x[3]};
  std::vector<Input> inputs{Input(c.x, Fill::normal, c.x_extra), Input(vector), Input(vector)};
  if (c.residual) inputs.push_back(Input(c.x, Fill::normal, c.x_extra));
  return {c.name, inputs, [c, vector](Tape& tape, const std::vector<Var>& in) {
            const Dtype dtype = in[0].value.dtype();
            NormActOptions options = options_of(c.relu, c.pool, c.residual ? in[3] : Var(), {}, c.training);
            options.epsilon = c.epsilon;
            RunningStats stats;
            if (!c.training) {
              std::vector<double> variance = normal_values(vector.size(), 12);
              for (double& v : variance) v = static_cast<float>(0.5 + v * v);
              stats.mean = Tensor::of(vector, dtype, normal_values(vector.size(), 11));
              stats.variance = Tensor::of(vector, dtype, variance);
            }
            const Sliced out(c.x, dtype, std::max<std::int64_t>(0, c.out_extra));
            if (c.out_extra >= 0) options.out = out.tensor();
            const NormActResult result = norm_act(tape, in[0], in[1], in[2], stats, options);
            EXPECT_TRUE(out.guards_intact()) << "wrote beside the slice";
            if (c.pooled_alone) return std::vector<Var>{result.pooled};
            if (c.pool) return std::vector<Var>{result.y, result.pooled};
            return std::vector<Var>{result.y};
          }};
}

std::vector<OpCase> cases() {
  const std::vector<NormCase> list{
      {.name = "norm", .x = {2, 5, 3, 6}, .relu = false},
      {.name = "norm_one_channel", .x = {1, 4, 5, 1}, .relu = false},
      {.name = "norm_large", .x = {3, 33, 29, 5}, .relu = false},
      {.name = "relu", .x = {2, 4, 4, 8}},
      {.name = "relu_odd", .x = {1, 7, 5, 13}},
      {.name = "relu_one_pixel", .x = {1, 1, 1, 7}},
      {.name = "relu_batch_of_pixels", .x = {9, 1, 1, 3}},
      {.name = "relu_wide", .x = {1, 6, 6, 64}},
      {.name = "relu_big_epsilon", .x = {1, 2, 3, 4}, .epsilon = 0.1},
      {.name = "relu_pitched_x", .x = {2, 3, 5, 4}, .x_extra = 3},
      {.name = "relu_into_slice", .x = {2, 4, 3, 8}, .out_extra = 8},
      {.name = "relu_into_odd_slice", .x = {1, 5, 5, 3}, .out_extra = 2},
      {.name = "pool", .x = {2, 4, 6, 8}, .pool = true},
      {.name = "pool_odd", .x = {1, 7, 5, 3}, .pool = true},
      {.name = "pool_one_window", .x = {2, 2, 2, 5}, .pool = true},
      {.name = "pool_one_window_odd", .x = {1, 3, 3, 9}, .pool = true},
      {.name = "pool_no_relu", .x = {1, 5, 6, 10}, .relu = false, .pool = true},
      {.name = "pool_into_slice", .x = {2, 6, 4, 16}, .pool = true, .out_extra = 16},
      {.name = "pool_alone", .x = {2, 5, 4, 6}, .pool = true, .pooled_alone = true},
      {.name = "residual", .x = {2, 3, 4, 8}, .residual = true},
      {.name = "residual_no_relu", .x = {1, 5, 3, 7}, .relu = false, .residual = true},
      {.name = "residual_pitched", .x = {2, 3, 3, 5}, .residual = true, .x_extra = 4},
      {.name = "residual_pool", .x = {2, 5, 5, 6}, .pool = true, .residual = true},
      {.name = "residual_pool_into_slice", .x = {1, 4, 6, 11}, .pool = true, .residual = true, .out_extra = 5},
      {.name = "residual_one_pixel", .x = {1, 1, 1, 4}, .residual = true},
      {.name = "inference", .x = {2, 3, 5, 6}, .relu = false, .training = false},
      {.name = "inference_relu", .x = {2, 4, 4, 8}, .training = false},
      {.name = "inference_one_pixel", .x = {1, 1, 1, 5}, .training = false},
      {.name = "inference_two_pixels", .x = {1, 1, 2, 3}, .training = false},
      {.name = "inference_pool", .x = {1, 5, 7, 3}, .pool = true, .training = false},
      {.name = "inference_residual_pool", .x = {2, 4, 5, 9}, .pool = true, .residual = true, .training = false},
      {.name = "inference_into_slice", .x = {2, 3, 3, 4}, .training = false, .out_extra = 3},
      {.name = "inference_pitched", .x = {1, 3, 4, 5}, .training = false, .x_extra = 6, .epsilon = 1e-3},
      {.name = "inference_residual_pitched", .x = {1, 3, 4, 16}, .residual = true, .training = false, .x_extra = 16},
  };
  std::vector<OpCase> out;
  for (const NormCase& c : list) out.push_back(norm_case(c));
  return out;
}

INSTANTIATE_TEST_SUITE_P(NormAct, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(NormAct, Precision, testing::ValuesIn(cases()), case_name);

TEST(NormAct, TrainingReportsMeanAndUnbiasedVariance) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const PoisonScope poison;
    Tape tape;
    const std::vector<double> values{1, 10, 2, 20, 3, 30, 6, 60};  // 4 pixels of 2 channels
    RunningStats stats;
    stats.pending_mean = Tensor::empty({2}, dtype);
    stats.pending_variance = Tensor::empty({2}, dtype);
    const Var ones = tape.input(Tensor::of<double>({2}, dtype, {1, 1}));
    norm_act(tape, tape.input(Tensor::of({1, 2, 2, 2}, dtype, values)), ones, ones, stats);
    const std::vector<double> mean = stats.pending_mean.values<double>();
    const std::vector<double> variance = stats.pending_variance.values<double>();
    EXPECT_DOUBLE_EQ(mean[0], 3);
    EXPECT_DOUBLE_EQ(mean[1], 30);
    EXPECT_NEAR(variance[0], 14.0 / 3, 1e-6);  // (4 + 1 + 0 + 9) / (4 - 1)
    EXPECT_NEAR(variance[1], 1400.0 / 3, 1e-4);
  }
}

TEST(NormAct, OnePixelHasNoVariance) {
  const PoisonScope poison;
  Tape tape;
  RunningStats stats;
  stats.pending_mean = Tensor::empty({2}, Dtype::f64);
  stats.pending_variance = Tensor::empty({2}, Dtype::f64);
  const Var gamma = tape.input(Tensor::of<double>({2}, Dtype::f64, {2, 3}));
  const Var beta = tape.input(Tensor::of<double>({2}, Dtype::f64, {0.5, -0.25}));
  const Var x = tape.input(Tensor::of<double>({1, 1, 1, 2}, Dtype::f64, {7, -8}));
  const NormActOptions options = options_of(false, false);
  EXPECT_EQ(norm_act(tape, x, gamma, beta, stats, options).y.value.values<double>(), (std::vector<double>{0.5, -0.25}));
  EXPECT_EQ(stats.pending_mean.values<double>(), (std::vector<double>{7, -8}));
  EXPECT_EQ(stats.pending_variance.values<double>(), (std::vector<double>{0, 0}));
}

TEST(NormAct, NaNComesThrough) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Tape tape;
    std::vector<double> values = normal_values(1 * 2 * 2 * 20, 5);
    values[21] = NAN;  // pixel 1, channel 1
    const Var vector = tape.input(Tensor::of({20}, dtype, normal_values(20, 6)));
    const NormActResult out = norm_act(tape, tape.input(Tensor::of({1, 2, 2, 20}, dtype, values)), vector, vector, {},
                                       options_of(true, true));
    const std::vector<double> y = out.y.value.values<double>(), pooled = out.pooled.value.values<double>();
    for (std::size_t pixel = 0; pixel < 4; ++pixel) EXPECT_TRUE(std::isnan(y[pixel * 20 + 1]));
    EXPECT_TRUE(std::isnan(pooled[1]));
    EXPECT_FALSE(std::isnan(pooled[0]));
    EXPECT_FALSE(std::isnan(y[2]));
  }
}

TEST(NormAct, SaysWhatIsWrong) {
  Tape tape;
  const auto zeros = [&](const Shape& shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor::zeros(shape, dtype));
  };
  const Var x = zeros({2, 4, 4, 8});
  const Var ok = zeros({8});
  Var gamma = zeros({6});
  gamma.name = "inc.double_conv.1.weight";
  EXPECT_EQ(error_of([&] { norm_act(tape, x, gamma, ok, {}); }),
            "norm_act \"inc.double_conv.1.weight\": gamma must be [8] (C), got [6]");
  EXPECT_EQ(error_of([&] { norm_act(tape, x, ok, gamma, {}); }), "norm_act: beta must be [8] (C), got [6]");
  EXPECT_EQ(error_of([&] { norm_act(tape, x, zeros({8}, Dtype::f64), ok, {}); }),
            "norm_act: gamma is f64 but x is f32");
  EXPECT_EQ(error_of([&] { norm_act(tape, x, ok, zeros({8}, Dtype::f64), {}); }), "norm_act: beta is f64 but x is f32");
  EXPECT_EQ(error_of([&] {
              norm_act(tape, x, ok, ok, {}, options_of(true, false, zeros({2, 4, 4, 4})));
            }),
            "norm_act: residual must be [2,4,4,8] (N,H,W,C), got [2,4,4,4]");
  EXPECT_EQ(error_of([&] {
              norm_act(tape, x, ok, ok, {}, options_of(true, false, zeros({2, 4, 4, 8}, Dtype::f64)));
            }),
            "norm_act: residual is f64 but x is f32");
  EXPECT_EQ(error_of([&] { norm_act(tape, x, ok, ok, {}, options_of(true, false, {}, {}, false)); }),
            "norm_act: running mean must be [8] (C), got []");
  EXPECT_EQ(error_of([&] {
              norm_act(tape, zeros({2, 1, 4, 8}), ok, ok, {}, options_of(true, true));
            }),
            "norm_act: a 2x2 max-pool needs at least 2x2 pixels, x is [2,1,4,8] (N,H,W,C)");
  EXPECT_EQ(error_of([&] {
              norm_act(tape, x, ok, ok, {}, options_of(true, false, {}, Tensor::zeros({2, 4, 4, 9}, Dtype::f32)));
            }),
            "norm_act: out must be [2,4,4,8] (N,H,W,C), got [2,4,4,9]");
  EXPECT_EQ(error_of([&] { norm_act(tape, {}, ok, ok, {}); }), "norm_act: x is not given");
}

}  // namespace
}  // namespace unet::tests::norm_act_test
