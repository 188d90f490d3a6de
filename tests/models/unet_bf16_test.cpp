// The UNet with bf16 activations beside the UNet in f32: the same parameters, images and labels.
#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "tests/models/unet_support.h"

namespace unet::test::unet_bf16_test {
namespace {

Tensor as_bf16(const Tensor& x) {
  const Tensor out = Tensor::empty(x.shape(), Dtype::bf16);
  kernels::cpu::copy(x.const_view(), out.view());
  return out;
}

/// x as bf16 stores it, in f32.
Tensor rounded(const Tensor& x) { return Tensor::of(x.shape(), Dtype::f32, as_bf16(x).values<float>()); }

// Between image and logits a feature is rounded at most 46 times (23 convolutions or upsamplings, each with what
// follows it). What one rounding does to the logits is seen by rounding the image and computing on in f32; the later
// roundings pass through fewer layers, and independent errors add in the mean square.
constexpr double kRoundings = 46;

TEST(UNetBf16, LogitsAndLossFollowF32) {
  const Tensor images = random_images({2, 48, 32, 3}, Dtype::f32, 1), labels = random_labels(2, 48, 32, 3, 2);
  for (const bool bilinear : {false, true}) {
    models::UNet model({3, 3, 8, bilinear}, 5);
    std::vector<std::vector<double>> logits;
    std::vector<double> loss;
    for (const Tensor& x : {images, rounded(images), as_bf16(images)}) {
      Tape tape;
      const Var y = model.forward(tape, tape.input(x));
      EXPECT_EQ(y.value.dtype(), Dtype::f32);
      logits.push_back(y.value.values<double>());
      const Var value = loss_of(tape, Loss::cross_entropy, y, labels);
      tape.backward(value);
      loss.push_back(value.value.values<double>()[0]);
      for (const double g : model.parameters().gradients().at(0).values<double>()) ASSERT_TRUE(std::isfinite(g));
      model.parameters().end_step();
    }
    EXPECT_GT(nmse(logits[2], logits[0]), 0);
    EXPECT_LE(nmse(logits[2], logits[0]), kRoundings * nmse(logits[1], logits[0]));
    EXPECT_NEAR(loss[2], loss[0], 0.01 * loss[0]);
    std::printf("logits NMSE: image rounded %.2g, bf16 %.2g\n", nmse(logits[1], logits[0]), nmse(logits[2], logits[0]));
  }
}

// Twenty steps on one batch: both losses fall by a third and more, and stay together to a twentieth of where they
// began.
TEST(UNetBf16, LearnsLikeF32) {
  const Tensor images = random_images({2, 32, 32, 3}, Dtype::f32, 1), labels = random_labels(2, 32, 32, 2, 2);
  std::vector<double> losses[2];
  for (const bool half : {false, true}) {
    models::UNet model({3, 2, 8, false}, 5);
    Adam adam(model.parameters(), {});
    for (int step = 0; step < 20; ++step) {
      const StepResult result =
          train_step(model, adam, Loss::cross_entropy, half ? as_bf16(images) : images, labels, 2e-3);
      ASSERT_TRUE(result.committed) << result.reason;
      losses[half].push_back(result.loss);
    }
    EXPECT_LE(losses[half].back(), 2.0 / 3 * losses[half].front()) << (half ? "bf16" : "f32");
  }
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(losses[1][i], losses[0][i], 0.05 * losses[0][0]) << "step " << i;
  std::printf("after 20 steps: f32 %.5f, bf16 %.5f (from %.5f)\n", losses[0][19], losses[1][19], losses[0][0]);
}

TEST(UNetBf16, InferenceFollowsF32) {
  const Tensor images = random_images({1, 40, 56, 3}, Dtype::f32, 3);
  models::UNet model({3, 2, 8, false}, 6);
  std::vector<std::vector<double>> logits;
  for (const Tensor& x : {images, rounded(images), as_bf16(images)}) {
    Tape tape(Tape::Mode::inference);
    logits.push_back(model.forward(tape, tape.input(x)).value.values<double>());
  }
  EXPECT_GT(nmse(logits[2], logits[0]), 0);
  EXPECT_LE(nmse(logits[2], logits[0]), kRoundings * nmse(logits[1], logits[0]));
}

}  // namespace
}  // namespace unet::test::unet_bf16_test
