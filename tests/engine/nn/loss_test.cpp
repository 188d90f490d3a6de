#include "engine/nn/loss.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/tensors.h"

namespace unet::tests::loss_test {
namespace {

using nn::Loss;
using nn::parse_loss;
using nn::text_of;

TEST(Loss, ATextIsALoss) {
  struct Example {
    const char* text;
    Loss loss;
    const char* canonical;
  };
  const std::vector<Example> examples{
      {"cross_entropy", {}, "cross_entropy"},
      {"dice", {.cross_entropy = 0, .dice = 1}, "dice"},
      {"dice_batch", {.cross_entropy = 0, .dice_batch = 1}, "dice_batch"},
      {"cross_entropy + 0.5 dice", {.dice = 0.5}, "cross_entropy + 0.5 dice"},
      {" 0.50dice+1.0  cross_entropy ", {.dice = 0.5}, "cross_entropy + 0.5 dice"},
      {"focal", {.cross_entropy = 0, .focal = 1}, "focal(gamma=2)"},
      {"2 focal( gamma = 0 )", {.cross_entropy = 0, .focal = 2, .gamma = 0}, "2 focal(gamma=0)"},
      {"cross_entropy(smoothing=0.1)", {.smoothing = 0.1}, "cross_entropy(smoothing=0.1)"},
      {"cross_entropy (smoothing=0)", {}, "cross_entropy"},
      {"1e-3 cross_entropy(smoothing=1)+1e2dice_batch+0.25 focal(gamma=1.5) + 3 dice",
       {.cross_entropy = 1e-3, .focal = 0.25, .dice = 3, .dice_batch = 100, .smoothing = 1, .gamma = 1.5},
       "0.001 cross_entropy(smoothing=1) + 0.25 focal(gamma=1.5) + 3 dice + 100 dice_batch"}};
  for (const Example& example : examples) {
    SCOPED_TRACE(example.text);
    EXPECT_EQ(parse_loss(example.text), example.loss);
    EXPECT_EQ(text_of(example.loss), example.canonical);
    EXPECT_EQ(parse_loss(example.canonical), example.loss);
  }
}

TEST(Loss, SaysWhatIsWrongWithAText) {
  const std::string no_term =
      " is no term of a loss, expected cross_entropy, focal, dice, dice_batch with a weight before it, as in "
      "\"cross_entropy + 0.5 dice\"";
  const std::vector<std::pair<std::string, std::string>> examples{
      {"", "\"\"" + no_term},
      {"cross_entropy +", "\"\"" + no_term},
      {"cross_entropy + 0.5", "\"0.5\"" + no_term},
      {"dise", "\"dise\"" + no_term + "; the nearest is dice"},
      {"dice cross_entropy", "\"dice cross_entropy\"" + no_term + "; the nearest is cross_entropy"},
      {"0.5*dice", "\"0.5*dice\"" + no_term + "; the nearest is dice"},
      {"nan dice", "\"nan dice\"" + no_term},
      {"dice + cross_entropy + 0.5 dice", "a loss has dice twice, expected it once"},
      {"0 dice", "the weight of dice is \"0\", expected a number above 0"},
      {"-1 dice", "the weight of dice is \"-1\", expected a number above 0"},
      {"1e400 dice", "the weight of dice is \"1e400\", expected a number above 0"},
      {"1.5.2 dice", "the weight of dice is \"1.5.2\", expected a number above 0"},
      {"dice(gamma=1)", "dice of a loss is given \"gamma=1\", expected it without"},
      {"focal(2)", "focal of a loss is given \"2\", expected gamma=NUMBER"},
      {"focal(gama=2)", "focal of a loss is given \"gama=2\", expected gamma=NUMBER"},
      {"focal(gamma=2", "\"focal(gamma=2\" of a loss has no ) at its end"},
      {"focal(gamma=-1)", "gamma of focal is \"-1\", expected a number from 0 on"},
      {"focal(gamma=inf)", "gamma of focal is \"inf\", expected a number from 0 on"},
      {"cross_entropy(smoothing=1.5)", "smoothing of cross_entropy is \"1.5\", expected a number from 0 to 1"}};
  for (const auto& [text, error] : examples) {
    EXPECT_EQ(error_of([&] { parse_loss(text); }), error);
  }
}

/// The loss, then the gradient.
template <class LossOf>
std::vector<double> numbers(const LossOf& loss_of) {
  Tape tape;
  const Var x = tape.leaf(Tensor::of({2, 5, 7, 3}, Dtype::f32, normal_values(210, 1)));
  const Var loss = loss_of(tape, x, random_labels({2, 5, 7}, 3, 2));
  tape.backward(loss);
  std::vector<double> out = loss.value.values<double>();
  for (const double g : tape.gradient(x).values<double>()) out.push_back(g);
  return out;
}

TEST(Loss, IsTheOpsOfItsTerms) {
  const nn::LossOptions options{true, 1, Tensor::of<double>({3}, Dtype::f32, {0.5, 1, 2})};
  const auto of_text = [&](const std::string& text) {
    return numbers([&](Tape& tape, const Var& x, const Tensor& labels) {
      return nn::loss_of(tape, x, labels, parse_loss(text), options);
    });
  };
  EXPECT_EQ(of_text("cross_entropy"), numbers([&](Tape& tape, const Var& x, const Tensor& labels) {
              return softmax_cross_entropy(tape, x, labels, {1}, options.class_weights);
            }));
  for (const bool batch : {false, true}) {
    EXPECT_EQ(of_text(batch ? "dice_batch" : "dice"), numbers([&](Tape& tape, const Var& x, const Tensor& labels) {
                return soft_dice_loss(tape, x, labels, {.batch = batch, .background = true, .ignore_index = 1});
              }));
  }
  EXPECT_EQ(of_text("0.5 cross_entropy(smoothing=0.1) + 2 focal(gamma=1) + 3 dice + 4 dice_batch"),
            numbers([&](Tape& tape, const Var& x, const Tensor& labels) {
              const kernels::LossSumSpec spec{.cross_entropy = 0.5,
                                              .focal = 2,
                                              .dice = 3,
                                              .dice_batch = 4,
                                              .smoothing = 0.1,
                                              .gamma = 1,
                                              .background = true,
                                              .ignore_index = 1};
              return loss_sum(tape, x, labels, spec, options.class_weights);
            }));
}

}  // namespace
}  // namespace unet::tests::loss_test
