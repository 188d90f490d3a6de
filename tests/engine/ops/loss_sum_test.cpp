#include <cmath>

#include "tests/support/op_case.h"

namespace unet::tests::loss_sum_test {
namespace {

using kernels::LossSumSpec;

struct SumCase {
  std::string name;
  Shape logits;
  LossSumSpec spec;
  int ignore_every = 0;
  bool weighted = false;
};

Tensor class_weights(std::int64_t classes, Dtype dtype) {
  std::vector<double> values = normal_values(classes, 21);
  for (double& v : values) v = static_cast<float>(0.25 + v * v);
  return Tensor::of({classes}, dtype, values);
}

OpCase sum_case(const SumCase& c) {
  return {c.name, {Input(c.logits)}, [c](Tape& tape, const std::vector<Var>& in) {
            const Shape pixels{c.logits[0], c.logits[1], c.logits[2]};
            const auto classes = static_cast<int>(c.logits[3]);
            const Tensor labels = random_labels(pixels, classes, 31, c.ignore_every);
            const Tensor weights = c.weighted ? class_weights(classes, in[0].value.dtype()) : Tensor();
            return std::vector<Var>{loss_sum(tape, in[0], labels, c.spec, weights)};
          }};
}

const LossSumSpec kSmoothed{.cross_entropy = 1, .smoothing = 0.1}, kFocal{.focal = 1},
    kWithDice{.cross_entropy = 1, .dice = 0.5},
    kAll{.cross_entropy = 0.5, .focal = 1.5, .dice = 0.25, .dice_batch = 2, .smoothing = 0.2, .gamma = 1.25};

std::vector<OpCase> cases() {
  const std::vector<SumCase> list{
      {"smoothed_two_classes", {2, 4, 4, 2}, kSmoothed},
      {"smoothed_weighted_two_classes", {1, 7, 9, 2}, kSmoothed, 3, true},
      {"smoothed_weighted", {2, 5, 3, 5}, kSmoothed, 4, true},
      {"smoothed_one_class", {1, 3, 3, 1}, kSmoothed},
      {"all_smooth", {1, 4, 4, 3}, {.cross_entropy = 1, .smoothing = 1}},
      {"focal_two_classes", {2, 4, 4, 2}, kFocal},
      {"focal_weighted", {1, 6, 7, 4}, kFocal, 4, true},
      {"focal_one_pixel", {1, 1, 1, 4}, kFocal},
      {"focal_gamma_0", {1, 3, 4, 3}, {.focal = 1, .gamma = 0}},
      {"focal_gamma_half", {2, 3, 5, 3}, {.focal = 1, .gamma = 0.5}, 0, true},
      {"focal_gamma_half_two_classes", {2, 3, 5, 2}, {.focal = 1, .gamma = 0.5}},
      {"focal_gamma_5", {1, 5, 5, 6}, {.focal = 1, .gamma = 5}},
      {"with_dice_two_classes", {2, 5, 4, 2}, kWithDice},
      {"with_dice_ignored_weighted", {3, 5, 4, 3}, kWithDice, 3, true},
      {"with_dice_of_the_batch", {3, 3, 5, 2}, {.cross_entropy = 1, .dice_batch = 1}},
      {"all_two_classes", {2, 5, 7, 2}, kAll, 4, true},
      {"all_three_classes", {3, 4, 5, 3}, kAll, 4, true},
      {"all_many_classes", {2, 3, 3, 21}, kAll},
      {"all_one_class", {2, 3, 3, 1}, kAll},
      {"all_many_pixels", {2, 41, 37, 3}, kAll},
      {"all_background_no_smooth",
       {2, 5, 5, 3},
       {.focal = 1, .dice = 1, .dice_batch = 1, .smooth = 0, .background = true}},
      {"all_ignore_index_is_a_class",
       {2, 5, 3, 3},
       {.cross_entropy = 1, .dice = 1, .smoothing = 0.1, .ignore_index = 1}},
  };
  std::vector<OpCase> out;
  for (const SumCase& c : list) out.push_back(sum_case(c));
  return out;
}

INSTANTIATE_TEST_SUITE_P(LossSum, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(LossSum, Precision, testing::ValuesIn(cases()), case_name);

TEST(LossSum, IsTheSumOfItsLosses) {
  for (const std::int64_t C : {2, 3}) {
    const Tensor logits = Tensor::of({3, 5, 7, C}, Dtype::f64, normal_values(3 * 5 * 7 * C, 1));
    const Tensor labels = random_labels({3, 5, 7}, static_cast<int>(C), 2, 5), weights = class_weights(C, Dtype::f64);
    const auto gradient = [&](const auto& loss_of) {
      Tape tape;
      const Var x = tape.leaf(logits);
      const Var loss = loss_of(tape, x);
      tape.backward(loss);
      std::vector<double> out = tape.gradient(x).values<double>();
      out.push_back(loss.value.values<double>()[0]);
      return out;
    };
    const auto sum = gradient([&](Tape& tape, const Var& x) {
      return loss_sum(tape, x, labels, {.cross_entropy = 0.75, .dice = 0.5, .dice_batch = 1.25}, weights);
    });
    const auto entropy =
        gradient([&](Tape& tape, const Var& x) { return softmax_cross_entropy(tape, x, labels, {}, weights); });
    const auto dice = gradient([&](Tape& tape, const Var& x) { return soft_dice_loss(tape, x, labels); });
    const auto of_batch =
        gradient([&](Tape& tape, const Var& x) { return soft_dice_loss(tape, x, labels, {.batch = true}); });
    for (std::size_t i = 0; i < sum.size(); ++i) {
      EXPECT_NEAR(sum[i], 0.75 * entropy[i] + 0.5 * dice[i] + 1.25 * of_batch[i], 1e-14) << i;
    }
  }
}

TEST(LossSum, AbsentClassIsFinite) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    LossSumSpec spec = kAll;
    spec.smooth = 0;
    const PoisonScope poison;
    Tape tape;
    const Var x = tape.leaf(Tensor::of<double>({1, 1, 2, 2}, dtype, {400, -400, 400, -400}));
    const Var loss = loss_sum(tape, x, Tensor::of<std::uint8_t>({1, 1, 2}, Dtype::u8, {0, 0}), spec);
    tape.backward(loss);
    // What smoothing adds: a tenth of the 800 of the other class, halved by the weight.
    EXPECT_NEAR(loss.value.values<double>()[0], 40, 1e-5);
    for (const double g : tape.gradient(x).values<double>()) EXPECT_TRUE(std::isfinite(g));
  }
}

TEST(LossSum, SaysWhatIsWrong) {
  Tape tape;
  const Var logits = tape.input(Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
  const Tensor labels = Tensor::zeros({1, 2, 3}, Dtype::u8);
  const auto error_with = [&](const LossSumSpec& spec) {
    return error_of([&] { loss_sum(tape, logits, labels, spec); });
  };
  EXPECT_EQ(error_with({.cross_entropy = -1}), "loss_sum: cross_entropy's weight must be a number >= 0, got -1");
  EXPECT_EQ(error_with({.focal = NAN}), "loss_sum: focal's weight must be a number >= 0, got nan");
  EXPECT_EQ(error_with({.dice = -1}), "loss_sum: dice's weight must be a number >= 0, got -1");
  EXPECT_EQ(error_with({.dice_batch = INFINITY}), "loss_sum: dice_batch's weight must be a number >= 0, got inf");
  EXPECT_EQ(error_with({.gamma = -0.5}), "loss_sum: gamma must be a number >= 0, got -0.5");
  EXPECT_EQ(error_with({.smooth = -1}), "loss_sum: smooth must be a number >= 0, got -1");
  EXPECT_EQ(error_with({.smoothing = 1.5}), "loss_sum: smoothing must be from 0 to 1, got 1.5");
  EXPECT_EQ(error_of([&] {
              loss_sum(tape, logits, Tensor::zeros({1, 3, 2}, Dtype::u8), kFocal);
            }),
            "loss_sum: labels must be [1,2,3] (N,H,W), got [1,3,2]");
  EXPECT_EQ(error_of([&] { loss_sum(tape, logits, labels, kFocal, Tensor::zeros({3}, Dtype::f32)); }),
            "loss_sum: class_weights must be [4] (C), got [3]");
  const Tensor wrong = Tensor::of<std::uint8_t>({1, 2, 3}, Dtype::u8, {0, 4, 255, 3, 7, 1});
  EXPECT_EQ(error_of([&] { loss_sum(tape, logits, wrong, kFocal); }),
            "loss_sum: 2 labels are neither one of the 4 classes nor the ignored value 255");
}

}  // namespace
}  // namespace unet::tests::loss_sum_test
