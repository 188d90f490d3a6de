// The ResNet34-UNet through the CUDA back end: PyTorch's record in f32, steps in bf16 near those in f32, a frozen
// encoder, inference as on the CPU.
#include <gtest/gtest.h>

#include "tests/models/recorded_resnet34_unet.h"
#include "tests/support/needs_device.h"

namespace unet::test::resnet34_unet_on_cuda_test {
namespace {

class CudaResNet34UNet : public NeedsDevice {};

TEST_F(CudaResNet34UNet, LogitsLossesAndGradientsAreThoseOfTheRecord) {
  for (const Loss loss : {Loss::cross_entropy, Loss::soft_dice}) {
    RecordedResNet34UNet model(Dtype::f32, kCuda);
    const RecordedBatch data = large_batch(0, Dtype::f32, kCuda);
    Tape tape;
    const Var logits = model.forward(tape, tape.input(data.images));
    const Var value = loss_of(tape, loss, logits, data.labels);
    tape.backward(value);
    EXPECT_LE(nmse(sampled(logits.value), resnet().values("logits")), 1e-8);
    EXPECT_LE(relative_error({scalar(value)}, resnet().values(fmt::format("loss/{}", name_of(loss)))), 1e-5);
    Worst worst;
    const Parameters& parameters = model.parameters();
    for (std::size_t i = 0; i < parameters.params().size(); ++i) {
      const std::string& name = parameters.params()[i].name;
      ASSERT_TRUE(parameters.has_gradient(id_of(i))) << name;
      worst.see(relative_error(sampled(parameters.gradient(id_of(i))),
                               resnet().values(fmt::format("gradient/{}/{}", name_of(loss), name))),
                name);
    }
    std::printf("%s: worst gradient %.2g (%s)\n", name_of(loss), worst.error, worst.name.c_str());
    EXPECT_LE(worst.error, 2e-3) << worst.name;
  }
}

/// Losses of six steps, the encoder frozen in the first three, and the logits of inference after them.
struct Course {
  std::vector<double> losses, logits;
};
Course train(Device device, Dtype activations) {
  models::ResNet34UNet model(
      {.classes = 3, .base_channels = 8}, 3,
      {.device = device, .activations = activations, .bf16_copies = !device.is_cpu() && activations == Dtype::bf16});
  std::vector<std::uint8_t> pixels(2 * 64 * 64 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(random_bits(5, Purpose::test, i / 48));
  }
  const Tensor images = Tensor::of({2, 64, 64, 3}, Dtype::u8, pixels).to(device);
  const Tensor labels = random_labels(2, 64, 64, 3, 9).to(device);
  Adam adam(model.parameters(), {});
  Step step(model.parameters(), adam);
  Course out;
  for (int i = 0; i < 6; ++i) {
    model.parameters().set_trainable("encoder", i >= 3);
    step.begin({.lr = 1e-4});
    Tape tape;
    step.backward(tape, softmax_cross_entropy(tape, models::logits(model, tape, images), labels));
    step.commit();
    const StepResult result = step.take_result().value();
    EXPECT_TRUE(result.committed) << result.reason;
    out.losses.push_back(result.loss);
  }
  Tape tape(Tape::Mode::inference);
  out.logits = models::logits(model, tape, images).value.values<double>();
  EXPECT_EQ(adam.group_steps(), (std::vector<std::int64_t>{3, 6}));
  return out;
}

TEST_F(CudaResNet34UNet, StepsAndInferenceAreTheCpus) {
  const Course here = train(Device{}, Dtype::f32), there = train(kCuda, Dtype::f32);
  EXPECT_LE(relative_error(there.losses, here.losses), 1e-4);
  EXPECT_LE(relative_error(there.logits, here.logits), 1e-3);
  const Course bf16 = train(kCuda, Dtype::bf16);
  EXPECT_LE(relative_error(bf16.losses, here.losses), 0.03);
}

}  // namespace
}  // namespace unet::test::resnet34_unet_on_cuda_test
