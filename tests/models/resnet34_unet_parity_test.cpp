// A narrow ResNet34-UNet against what PyTorch recorded (generate_resnet34_unet_parity.py): in f64 to 1e-8, in f32 to
// what single precision leaves.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/models/recorded_resnet34_unet.h"

namespace unet::test::resnet34_unet_parity_test {
namespace {

std::vector<double> logits_of(models::Segmenter& model, Tape::Mode mode, const Tensor& images) {
  Tape tape(mode);
  const std::vector<double> out = sampled(model.forward(tape, tape.input(images)).value);
  model.parameters().end_step();
  return out;
}

/// Of weights and running statistics from those recorded under `prefix`.
Worst state_error(const Parameters& parameters, const std::string& prefix) {
  Worst out;
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    const std::string& name = parameters.params()[i].name;
    out.see(relative_error(sampled(parameters.value(id_of(i))), resnet().values(prefix + name)), name);
  }
  for (std::size_t i = 0; i < parameters.stats().size(); ++i) {
    const std::string& name = parameters.stats()[i].name;
    const RunningStats running = parameters.running(StatsId{static_cast<int>(i)});
    out.see(relative_error(sampled(running.mean), resnet().values(prefix + name + ".running_mean")), name);
    out.see(relative_error(sampled(running.variance), resnet().values(prefix + name + ".running_var")), name);
  }
  return out;
}

class ResNet34UNetParity : public testing::TestWithParam<Dtype> {
 protected:
  const Dtype dtype_ = GetParam();
  const bool f64_ = dtype_ == Dtype::f64;
};
INSTANTIATE_TEST_SUITE_P(, ResNet34UNetParity, testing::Values(Dtype::f64, Dtype::f32),
                         [](const auto& param_info) { return kernels::name_of(param_info.param); });

TEST_P(ResNet34UNetParity, LogitsLossesAndGradients) {
  RecordedResNet34UNet model(dtype_);
  const RecordedBatch data = large_batch(0, dtype_);
  const double logits = relative_error(logits_of(model, Tape::Mode::record, data.images), resnet().values("logits"));
  std::printf("logits %.2g", logits);
  EXPECT_LE(logits, f64_ ? 1e-8 : 1e-4);
  for (const Loss loss : {Loss::cross_entropy, Loss::soft_dice}) {
    const double value = scalar({run_pass(model, loss, data.images, data.labels)});
    const double error = relative_error({value}, resnet().values(fmt::format("loss/{}", name_of(loss))));
    const Parameters& parameters = model.parameters();
    Worst gradient;
    for (std::size_t i = 0; i < parameters.params().size(); ++i) {
      const std::string& name = parameters.params()[i].name;
      ASSERT_TRUE(parameters.has_gradient(id_of(i))) << name;
      gradient.see(relative_error(sampled(parameters.gradient(id_of(i))),
                                  resnet().values(fmt::format("gradient/{}/{}", name_of(loss), name))),
                   name);
    }
    model.parameters().end_step();
    std::printf("; %s loss %.2g, worst gradient %.2g (%s)", name_of(loss), error, gradient.error,
                gradient.name.c_str());
    EXPECT_LE(error, f64_ ? 1e-8 : 1e-5);
    EXPECT_LE(gradient.error, f64_ ? 1e-8 : 2e-3) << gradient.name;
  }
  std::printf("\n");
}

TEST(ResNet34UNetParitySteps, ThirtyOfAdamInF64) {
  RecordedResNet34UNet model(Dtype::f64);
  Adam adam(model.parameters(), {});
  const std::vector<double> losses = resnet().values("losses");
  ASSERT_EQ(losses.size(), 30u);
  Worst loss;
  for (int step = 0; step < 30; ++step) {
    const RecordedBatch data = large_batch(step % 4, Dtype::f64);
    const StepResult result =
        train_step(model, adam, step < 20 ? Loss::cross_entropy : Loss::soft_dice, data.images, data.labels, 1e-3);
    ASSERT_TRUE(result.committed) << result.reason;
    loss.see(relative_error({result.loss}, {losses[static_cast<std::size_t>(step)]}), fmt::format("step {}", step + 1));
  }
  const Worst state = state_error(model.parameters(), "final/");
  const double logits = relative_error(logits_of(model, Tape::Mode::inference, large_batch(0, Dtype::f64).images),
                                       resnet().values("final_logits"));
  std::printf("loss %.2g (%s), weights and statistics %.2g (%s), inference logits %.2g\n", loss.error,
              loss.name.c_str(), state.error, state.name.c_str(), logits);
  EXPECT_LE(loss.error, 1e-8) << loss.name;
  EXPECT_LE(state.error, 1e-8) << state.name;
  EXPECT_LE(logits, 1e-8);
}

TEST(ResNet34UNetParitySteps, TenInF32) {
  RecordedResNet34UNet model(Dtype::f32);
  Adam adam(model.parameters(), {});
  const std::vector<double> losses = resnet().values("losses_1e-4");
  Worst loss;
  for (int step = 0; step < 10; ++step) {
    const RecordedBatch data = large_batch(step % 4, Dtype::f32);
    const StepResult result = train_step(model, adam, Loss::cross_entropy, data.images, data.labels, 1e-4);
    loss.see(relative_error({result.loss}, {losses.at(static_cast<std::size_t>(step))}),
             fmt::format("step {}", step + 1));
  }
  std::printf("worst loss %.2g (%s)\n", loss.error, loss.name.c_str());
  EXPECT_LE(loss.error, 1e-3) << loss.name;
}

TEST(ResNet34UNetParitySteps, AFrozenEncoderThaws) {
  RecordedResNet34UNet model(Dtype::f64);
  Parameters& parameters = model.parameters();
  parameters.set_lr_scale("encoder", 0.1);
  Adam adam(parameters, {});
  const std::vector<double> losses = resnet().values("thawed/losses");
  ASSERT_EQ(losses.size(), 10u);
  const Tensor before = parameters.running().clone();
  Worst loss;
  for (int step = 0; step < 10; ++step) {
    parameters.set_trainable("encoder", step >= 5);
    if (step == 5) {
      const RunningStats first = parameters.running(StatsId{0});  // of the encoder
      EXPECT_TRUE(same_bytes(first.mean, before.range(parameters.stats()[0].mean_offset, first.mean.shape())));
      EXPECT_EQ(parameters.stats()[0].batches_tracked, 0);
      EXPECT_EQ(adam.group_steps(), (std::vector<std::int64_t>{0, 5}));
    }
    const RecordedBatch data = large_batch(step % 4, Dtype::f64);
    const StepResult result = train_step(model, adam, Loss::cross_entropy, data.images, data.labels, 1e-3);
    ASSERT_TRUE(result.committed) << result.reason;
    loss.see(relative_error({result.loss}, {losses[static_cast<std::size_t>(step)]}), fmt::format("step {}", step + 1));
  }
  const Worst state = state_error(parameters, "thawed/final/");
  std::printf("loss %.2g (%s), weights and statistics %.2g (%s)\n", loss.error, loss.name.c_str(), state.error,
              state.name.c_str());
  EXPECT_LE(loss.error, 1e-8) << loss.name;
  EXPECT_LE(state.error, 1e-8) << state.name;
}

}  // namespace
}  // namespace unet::test::resnet34_unet_parity_test
