// The gradients of the whole UNet in f64 against central differences, for both losses: of every parameter a few random
// elements.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/models/unet_support.h"

namespace unet::test::unet_grad_check_test {
namespace {

// Small, because a ReLU or a pool that changes its mind between the two points shows as an error; f64 leaves a noise of
// about 1e-9 at this step.
constexpr double kEpsilon = 1e-7;
constexpr int kElements = 2;  // of each parameter

struct Case {
  const char* name;
  bool bilinear;
  Loss loss;
  std::int64_t N, H, W;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class UNetGradCheck : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(, UNetGradCheck,
                         testing::Values(Case{"TransposedCrossEntropy", false, Loss::cross_entropy, 2, 32, 32},
                                         Case{"TransposedSoftDice", false, Loss::soft_dice, 2, 32, 32},
                                         Case{"BilinearCrossEntropy", true, Loss::cross_entropy, 2, 32, 32},
                                         Case{"BilinearSoftDice", true, Loss::soft_dice, 2, 32, 32},
                                         Case{"OddSizeCrossEntropy", false, Loss::cross_entropy, 1, 37, 19},
                                         Case{"OddSizeSoftDice", false, Loss::soft_dice, 3, 35, 50}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_P(UNetGradCheck, EveryParameter) {
  const Case& c = GetParam();
  const ThreadScope team(1);  // many tiny passes: a team costs more than it saves
  constexpr std::uint64_t kSeed = 5;
  models::UNet model({2, 3, 2, c.bilinear}, kSeed, {.dtype = Dtype::f64});
  Parameters& parameters = model.parameters();
  const Tensor images = random_images({c.N, c.H, c.W, 2}, Dtype::f64, kSeed);
  const Tensor labels = random_labels(c.N, c.H, c.W, 3, kSeed);
  const auto loss_now = [&] {
    Tape tape;
    const double value = scalar(loss_of(tape, c.loss, model.forward(tape, tape.input(images)), labels));
    parameters.end_step();
    return value;
  };

  run_pass(model, c.loss, images, labels);
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    ASSERT_TRUE(parameters.has_gradient({static_cast<int>(i)})) << parameters.params()[i].name;
  }
  Worst worst;
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    const ParamId id{static_cast<int>(i)};
    const std::string& name = parameters.params()[i].name;
    const std::vector<double> gradient = parameters.gradient(id).values<double>();
    double* value = parameters.value(id).data<double>();
    for (std::uint64_t draw = 0; draw < kElements; ++draw) {
      const std::size_t at = random_bits(kSeed, Purpose::test, i, draw, 3) % gradient.size();
      const double before = value[at];
      value[at] = before + kEpsilon;
      const double above = loss_now();
      value[at] = before - kEpsilon;
      const double below = loss_now();
      value[at] = before;
      const double expected = (above - below) / (2 * kEpsilon);
      const double error = std::abs(gradient[at] - expected);
      EXPECT_LE(error, 1e-7 + 1e-3 * std::abs(expected)) << name << " element " << at << ", seed " << kSeed;
      worst.see(error, name);
    }
  }
  std::printf("%s: worst |analytic - numeric| %.2g (%s)\n", c.name, worst.error, worst.name.c_str());
}

}  // namespace
}  // namespace unet::test::unet_grad_check_test
