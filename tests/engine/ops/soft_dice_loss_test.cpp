#include <cmath>

#include "tests/support/op_case.h"

namespace unet::tests::soft_dice_loss_test {
namespace {

struct DiceCase {
  std::string name;
  Shape logits;
  double smooth = 1;
  bool batch = false, background = false;
  int ignore_every = 0;
  int ignore_index = 255;
};

OpCase dice_case(const DiceCase& c) {
  return {c.name, {Input(c.logits)}, [c](Tape& tape, const std::vector<Var>& in) {
            const Shape pixels{c.logits[0], c.logits[1], c.logits[2]};
            const Tensor labels = random_labels(pixels, static_cast<int>(c.logits[3]), 41, c.ignore_every);
            kernels::SoftDiceSpec spec;
            spec.smooth = c.smooth;
            spec.batch = c.batch;
            spec.background = c.background;
            spec.ignore_index = c.ignore_index;
            return std::vector<Var>{soft_dice_loss(tape, in[0], labels, spec)};
          }};
}

std::vector<OpCase> cases() {
  const std::vector<DiceCase> list{
      {.name = "two_classes", .logits = {2, 4, 4, 2}},
      {.name = "three_classes_odd", .logits = {1, 5, 7, 3}},
      {.name = "one_pixel", .logits = {1, 1, 1, 4}},
      {.name = "one_class", .logits = {2, 3, 3, 1}},
      {.name = "many_classes", .logits = {2, 3, 3, 21}},
      {.name = "many_pixels", .logits = {2, 41, 37, 3}},
      {.name = "batch", .logits = {3, 3, 5, 2}, .batch = true},
      {.name = "batch_of_one", .logits = {1, 5, 5, 3}, .batch = true},
      {.name = "background", .logits = {2, 5, 3, 3}, .background = true},
      {.name = "batch_background", .logits = {3, 4, 3, 4}, .batch = true, .background = true},
      {.name = "no_smooth", .logits = {2, 6, 5, 2}, .smooth = 0},
      {.name = "small_smooth_background", .logits = {1, 4, 7, 5}, .smooth = 1e-3, .background = true},
      {.name = "large_smooth", .logits = {2, 3, 4, 3}, .smooth = 10},
      {.name = "ignored", .logits = {2, 5, 5, 3}, .ignore_every = 3},
      {.name = "ignored_batch", .logits = {3, 3, 3, 2}, .batch = true, .ignore_every = 2},
      {.name = "ignore_index_is_a_class", .logits = {2, 5, 3, 3}, .ignore_index = 1},
  };
  std::vector<OpCase> out;
  for (const DiceCase& c : list) out.push_back(dice_case(c));
  return out;
}

INSTANTIATE_TEST_SUITE_P(SoftDiceLoss, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(SoftDiceLoss, Precision, testing::ValuesIn(cases()), case_name);

struct LossAndGradient {
  double loss;
  std::vector<double> gradient;
};
LossAndGradient dice(Dtype dtype, const Shape& shape, const std::vector<double>& logits,
                     const std::vector<std::uint8_t>& labels, const kernels::SoftDiceSpec& spec = {}) {
  const PoisonScope poison;
  Tape tape;
  const Var x = tape.leaf(Tensor::of(shape, dtype, logits));
  const Var loss = soft_dice_loss(tape, x, Tensor::of({shape[0], shape[1], shape[2]}, Dtype::u8, labels), spec);
  tape.backward(loss);
  return {loss.value.values<double>()[0], tape.gradient(x).values<double>()};
}

TEST(SoftDiceLoss, AllIgnoredIsPerfect) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    for (const double smooth : {1.0, 0.0}) {
      const auto got = dice(dtype, {1, 2, 2, 2}, normal_values(8, 1), {255, 255, 255, 255}, {.smooth = smooth});
      EXPECT_EQ(got.loss, 0);
      EXPECT_EQ(got.gradient, std::vector<double>(8, 0.0));
    }
  }
}

TEST(SoftDiceLoss, OneIgnoredImageCountsAsPerfect) {
  // Image 0 ignored: D = 1. Image 1: one pixel, p = (1/2, 1/2), label 1: D = (2/2 + 1) / (1/2 + 1 + 1) = 0.8.
  const auto got = dice(Dtype::f64, {2, 1, 1, 2}, {3, 4, 0, 0}, {255, 1});
  EXPECT_DOUBLE_EQ(got.loss, 1 - (1 + 0.8) / 2);
  EXPECT_EQ(got.gradient[0], 0);
  EXPECT_EQ(got.gradient[1], 0);
  EXPECT_NE(got.gradient[2], 0);
}

// Four pixels, two classes, probabilities of exactly 0 and 1: D = (2 both + smooth) / (predicted + truth + smooth).
TEST(SoftDiceLoss, CornersAreFiniteAndAsDocumented) {
  const std::vector<double> background{900, -900, 900, -900, 900, -900, 900, -900};
  const std::vector<double> foreground{-900, 900, -900, 900, -900, 900, -900, 900};
  struct Corner {
    const char* name;
    std::vector<double> logits;
    std::vector<std::uint8_t> labels;
    double smooth, loss;
  };
  for (const Corner& corner : std::initializer_list<Corner>{
           {"all background, so predicted", background, {0, 0, 0, 0}, 1, 0},
           {"all background, so predicted, no smooth", background, {0, 0, 0, 0}, 0, 0},
           {"all background, all foreground predicted", foreground, {0, 0, 0, 0}, 1, 1 - 1.0 / 5},
           {"all background, all foreground predicted, no smooth", foreground, {0, 0, 0, 0}, 0, 1},
           {"nothing predicted", background, {1, 1, 1, 1}, 1, 1 - 1.0 / 5},
           {"nothing predicted, no smooth", background, {1, 1, 1, 1}, 0, 1},
           {"nothing predicted, half ignored", background, {1, 255, 1, 255}, 1, 1 - 1.0 / 3},
           {"all foreground, so predicted", foreground, {1, 1, 1, 1}, 0, 0},
           {"all ignored", foreground, {255, 255, 255, 255}, 0, 0}}) {
    for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
      SCOPED_TRACE(corner.name);
      const auto got = dice(dtype, {1, 2, 2, 2}, corner.logits, corner.labels, {.smooth = corner.smooth});
      EXPECT_NEAR(got.loss, corner.loss, 1e-15);
      for (const double g : got.gradient) EXPECT_TRUE(std::isfinite(g));
    }
  }
}

TEST(SoftDiceLoss, AbsentClassIsNearlyPerfect) {
  // No pixel of class 1 in truth, none predicted: p1 underflows to about 0, so D -> smooth / smooth = 1.
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const auto got = dice(dtype, {1, 1, 2, 2}, {400, -400, 400, -400}, {0, 0});
    EXPECT_EQ(got.loss, 0);
    const auto empty = dice(dtype, {1, 1, 2, 2}, {400, -400, 400, -400}, {0, 0}, {.smooth = 0});
    EXPECT_TRUE(std::isfinite(empty.loss));
    for (const double g : empty.gradient) EXPECT_TRUE(std::isfinite(g));
  }
}

TEST(SoftDiceLoss, SaysWhatIsWrong) {
  Tape tape;
  const Var logits = tape.input(Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
  const Tensor labels = Tensor::zeros({1, 2, 3}, Dtype::u8);
  EXPECT_EQ(error_of([&] {
              soft_dice_loss(tape, logits, Tensor::zeros({2, 3}, Dtype::u8));
            }),
            "soft_dice_loss: labels must be [1,2,3] (N,H,W), got [2,3]");
  EXPECT_EQ(error_of([&] {
              soft_dice_loss(tape, logits, Tensor::zeros({1, 2, 3}, Dtype::f32));
            }),
            "soft_dice_loss: labels must be u8 [N,H,W]");
  EXPECT_EQ(error_of([&] { soft_dice_loss(tape, logits, labels, {.smooth = -1}); }),
            "soft_dice_loss: smooth must be >= 0, got -1");
  const Tensor wrong = Tensor::of<std::uint8_t>({1, 2, 3}, Dtype::u8, {0, 4, 255, 3, 7, 1});
  EXPECT_EQ(error_of([&] { soft_dice_loss(tape, logits, wrong); }),
            "soft_dice_loss: 2 labels are neither one of the 4 classes nor the ignored value 255");
}

}  // namespace
}  // namespace unet::tests::soft_dice_loss_test
