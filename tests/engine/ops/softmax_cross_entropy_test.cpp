#include "tests/support/op_case.h"

namespace unet::tests::softmax_cross_entropy_test {
namespace {

struct LossCase {
  std::string name;
  Shape logits;
  int ignore_every = 0;
  bool weighted = false;
  int ignore_index = 255;
};

Tensor class_weights(std::int64_t classes, Dtype dtype) {
  std::vector<double> values = normal_values(classes, 21);
  for (double& v : values) v = static_cast<float>(0.25 + v * v);
  return Tensor::of({classes}, dtype, values);
}

OpCase loss_case(const LossCase& c) {
  return {
      c.name, {Input(c.logits)}, [c](Tape& tape, const std::vector<Var>& in) {
        const Shape pixels{c.logits[0], c.logits[1], c.logits[2]};
        const auto classes = static_cast<int>(c.logits[3]);
        const Tensor labels = random_labels(pixels, classes, 31, c.ignore_every);
        const Tensor weights = c.weighted ? class_weights(classes, in[0].value.dtype()) : Tensor();
        return std::vector<Var>{softmax_cross_entropy(tape, in[0], labels, {.ignore_index = c.ignore_index}, weights)};
      }};
}

std::vector<OpCase> cases() {
  const std::vector<LossCase> list{
      {.name = "two_classes", .logits = {2, 4, 4, 2}},
      {.name = "three_classes_odd", .logits = {1, 5, 7, 3}},
      {.name = "one_pixel", .logits = {1, 1, 1, 4}},
      {.name = "one_class", .logits = {1, 3, 3, 1}},
      {.name = "many_classes", .logits = {2, 3, 3, 21}},
      {.name = "classes_100", .logits = {1, 2, 2, 100}},
      {.name = "many_pixels", .logits = {2, 41, 37, 3}},
      {.name = "ignored", .logits = {2, 5, 5, 3}, .ignore_every = 3},
      {.name = "ignored_first_of_two_pixels", .logits = {1, 1, 2, 2}, .ignore_every = 2},
      {.name = "weighted", .logits = {2, 4, 3, 5}, .weighted = true},
      {.name = "weighted_two_classes", .logits = {1, 7, 9, 2}, .weighted = true},
      {.name = "weighted_ignored", .logits = {1, 6, 7, 4}, .ignore_every = 4, .weighted = true},
      {.name = "ignore_index_is_a_class", .logits = {2, 5, 3, 3}, .ignore_index = 1},
      {.name = "ignore_index_is_class_0_weighted", .logits = {1, 5, 6, 7}, .weighted = true, .ignore_index = 0},
  };
  std::vector<OpCase> out;
  for (const LossCase& c : list) out.push_back(loss_case(c));
  return out;
}

INSTANTIATE_TEST_SUITE_P(SoftmaxCrossEntropy, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(SoftmaxCrossEntropy, Precision, testing::ValuesIn(cases()), case_name);

TEST(SoftmaxCrossEntropy, NothingCountedIsZero) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const PoisonScope poison;
    Tape tape;
    const Var logits = tape.leaf(Tensor::of({1, 2, 2, 3}, dtype, normal_values(12, 1)));
    const Tensor all_ignored = Tensor::of<std::uint8_t>({1, 2, 2}, Dtype::u8, {255, 255, 255, 255});
    const Var loss = softmax_cross_entropy(tape, logits, all_ignored);
    EXPECT_EQ(loss.value.values<double>(), std::vector<double>{0});
    tape.backward(loss);
    EXPECT_EQ(tape.gradient(logits).values<double>(), std::vector<double>(12, 0.0));

    const Tensor weights = Tensor::of<double>({3}, dtype, {0, 1, 1});
    const Tensor weightless = Tensor::of<std::uint8_t>({1, 2, 2}, Dtype::u8, {0, 0, 0, 255});
    const Var again = tape.leaf(logits.value);
    const Var second = softmax_cross_entropy(tape, again, weightless, {}, weights);
    EXPECT_EQ(second.value.values<double>(), std::vector<double>{0});
    tape.backward(second);
    EXPECT_EQ(tape.gradient(again).values<double>(), std::vector<double>(12, 0.0));
  }
}

TEST(SoftmaxCrossEntropy, LargeLogitsDoNotOverflow) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Tape tape;
    const Var logits = tape.leaf(Tensor::of<double>({1, 1, 2, 2}, dtype, {1000, -1000, 1000, -1000}));
    const Var loss = softmax_cross_entropy(tape, logits, Tensor::of<std::uint8_t>({1, 1, 2}, Dtype::u8, {0, 1}));
    EXPECT_DOUBLE_EQ(loss.value.values<double>()[0], 1000);
    tape.backward(loss);
    EXPECT_EQ(tape.gradient(logits).values<double>(), (std::vector<double>{0, 0, 0.5, -0.5}));
  }
}

TEST(SoftmaxCrossEntropy, TheSeedMultipliesTheGradient) {
  const auto gradient = [](double scale) {
    Tape tape;
    const Var logits = tape.leaf(Tensor::of({2, 3, 3, 4}, Dtype::f64, normal_values(72, 1)));
    tape.backward(softmax_cross_entropy(tape, logits, random_labels({2, 3, 3}, 4, 2)),
                  Tensor::of<double>({1}, Dtype::f64, {scale}));
    return tape.gradient(logits).values<double>();
  };
  std::vector<double> scaled = gradient(1);
  for (double& v : scaled) v *= 0.25;
  EXPECT_EQ(gradient(0.25), scaled);
}

TEST(SoftmaxCrossEntropy, SaysWhatIsWrong) {
  Tape tape;
  const Var logits = tape.input(Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
  const auto labels = [](const Shape& shape) { return Tensor::zeros(shape, Dtype::u8); };
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(tape, logits, labels({1, 3, 2}));
            }),
            "softmax_cross_entropy: labels must be [1,2,3] (N,H,W), got [1,3,2]");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(tape, logits, Tensor::zeros({1, 2, 3}, Dtype::i32));
            }),
            "softmax_cross_entropy: labels must be u8 [N,H,W]");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(tape, logits, labels({1, 2, 3}), {}, Tensor::zeros({3}, Dtype::f32));
            }),
            "softmax_cross_entropy: class_weights must be [4] (C), got [3]");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(tape, logits, labels({1, 2, 3}), {}, Tensor::zeros({4}, Dtype::f64));
            }),
            "softmax_cross_entropy: class_weights is f64 but logits is f32");
  const Tensor wrong = Tensor::of<std::uint8_t>({1, 2, 3}, Dtype::u8, {0, 4, 255, 3, 7, 1});
  EXPECT_EQ(error_of([&] { softmax_cross_entropy(tape, logits, wrong); }),
            "softmax_cross_entropy: 2 labels are neither one of the 4 classes nor the ignored value 255");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(tape, tape.input(Tensor::zeros({1, 2, 3, 300}, Dtype::f32)), labels({1, 2, 3}));
            }),
            "softmax_cross_entropy: logits [1,2,3,300] (N,H,W,C) have more classes than u8 labels can name");
  const Tensor wide = Tensor::zeros({1, 2, 3, 8}, Dtype::f32);
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(tape, tape.input(wide.slice(0, 4)), labels({1, 2, 3}));
            }),
            "softmax_cross_entropy: logits [1,2,3,4] is a slice (pitch 8); a dense tensor is expected");
}

}  // namespace
}  // namespace unet::tests::softmax_cross_entropy_test
