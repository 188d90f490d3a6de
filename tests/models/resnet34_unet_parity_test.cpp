// A narrow ResNet34-UNet against what PyTorch recorded (generate_resnet34_unet_parity.py): in f64 to 1e-8, in f32 to
// what single precision leaves. Its images are those of the UNet's record, twice as large by repetition and cut.
#include <gtest/gtest.h>

#include <cstdio>

#include "models/resnet34_unet.h"
#include "tests/models/recorded_unet.h"

namespace unet::test {
namespace {

const Record& resnet() {
  static const Record instance(places::source("tests/models/resnet34_unet_parity.safetensors"));
  return instance;
}

class Recorded : public models::ResNet34UNet {
 public:
  explicit Recorded(Dtype dtype) : ResNet34UNet({.classes = 3, .base_channels = 4}, 0, {.dtype = dtype}) {
    load_recorded(resnet(), "initial/", parameters());
  }
};

RecordedBatch large_batch(int b, Dtype dtype) {
  constexpr std::int64_t kHeight = 90, kWidth = 60;
  const RecordedBatch small = batch(b, dtype);
  const Shape& s = small.images.shape();
  const std::vector<double> x = small.images.values<double>(), l = small.labels.values<double>();
  std::vector<double> images, labels;
  for (std::int64_t n = 0; n < s[0]; ++n) {
    for (std::int64_t h = 0; h < kHeight; ++h) {
      for (std::int64_t w = 0; w < kWidth; ++w) {
        const auto at = static_cast<std::size_t>((n * s[1] + h / 2) * s[2] + w / 2);
        labels.push_back(l[at]);
        for (std::size_t c = 0; c < 3; ++c) images.push_back(x[3 * at + c]);
      }
    }
  }
  return {Tensor::of({s[0], kHeight, kWidth, 3}, dtype, images),
          Tensor::of({s[0], kHeight, kWidth}, Dtype::u8, labels)};
}

/// As the record holds large tensors: in PyTorch's order, every k-th element, k = 1 + elements / 1024.
std::vector<double> sampled(const Shape& s, const std::vector<double>& values) {
  const bool weight = s.rank() == 4;
  const std::int64_t taps = weight ? s[1] * s[2] : 1, B = weight ? s[3] : 1, k = 1 + s.size() / 1024;
  std::vector<double> out;
  for (std::int64_t i = 0; i < s.size(); i += k) {
    const std::int64_t a = i / (taps * B), b = i / taps % B, tap = i % taps;
    out.push_back(values[static_cast<std::size_t>((a * taps + tap) * B + b)]);
  }
  return out;
}

std::vector<double> sampled(const Tensor& tensor) { return sampled(tensor.shape(), tensor.values<double>()); }

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
  Recorded model(dtype_);
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
  Recorded model(Dtype::f64);
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
  Recorded model(Dtype::f32);
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
  Recorded model(Dtype::f64);
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
}  // namespace unet::test
