// The whole engine on a device: the training step of UNet through the CUDA back end, its kernels run by the stand-in
// for the CUDA runtime and its convolutions by the CPU, against the same steps on the CPU.
#include <gtest/gtest.h>

#include <thread>

#include "engine/core/device_memory.h"
#include "engine/train/checkpoint.h"
#include "tests/models/unet_steps.h"

namespace unet::test::unet_steps_on_cuda_test {
namespace {

struct Course {
  std::vector<StepResult> results;
  std::vector<double> values, running;
};

Course train(const Case& c, Device device, Dtype activations = Dtype::f32, double clip_norm = 0) {
  models::UNet model(c.spec, 3, {.device = device, .bf16_copies = !device.is_cpu() && activations == Dtype::bf16});
  Adam adam(model.parameters(), {.weight_decay = 0.01, .decoupled = true});
  Step step(model.parameters(), adam);
  const Batch batch = batch_of(c);
  Course out;
  const std::size_t ahead = device.is_cpu() ? 0 : 1;
  for (int i = 0; i < kSteps; ++i) {
    issue(model, step, c.loss, batch, activations, clip_norm);
    while (auto result = step.take_result(ahead)) out.results.push_back(*result);
  }
  while (auto result = step.take_result()) out.results.push_back(*result);
  out.values = model.parameters().values().values<double>();
  out.running = model.parameters().running().values<double>();
  EXPECT_EQ(adam.steps(), kSteps);
  EXPECT_EQ(model.parameters().stats()[0].batches_tracked, kSteps);
  return out;
}

class CudaEngine : public NeedsDevice, public testing::WithParamInterface<Case> {};

TEST_P(CudaEngine, FiveStepsGiveTheCpusLosses) {
  const Course there = train(GetParam(), kCuda), here = train(GetParam(), Device{});
  ASSERT_EQ(there.results.size(), static_cast<std::size_t>(kSteps));
  for (std::size_t i = 0; i < there.results.size(); ++i) {
    EXPECT_TRUE(there.results[i].committed) << there.results[i].reason;
    EXPECT_NEAR(there.results[i].loss, here.results[i].loss, 1e-4 * here.results[i].loss) << "step " << i;
    EXPECT_NEAR(there.results[i].grad_norm, here.results[i].grad_norm, 1e-3 * here.results[i].grad_norm)
        << "step " << i;
  }
  EXPECT_LE(relative_error(there.running, here.running), 1e-4);
}

TEST_P(CudaEngine, FiveStepsInBf16StayNearF32) {
  const Course there = train(GetParam(), kCuda, Dtype::bf16), here = train(GetParam(), Device{});
  for (std::size_t i = 0; i < there.results.size(); ++i) {
    EXPECT_TRUE(there.results[i].committed) << there.results[i].reason;
    // Some thirty roundings of 2^-9 between image and loss, of either sign.
    EXPECT_NEAR(there.results[i].loss, here.results[i].loss, 0.03 * here.results[i].loss) << "step " << i;
  }
}

std::string name_of_case(const testing::TestParamInfo<Case>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Unet, CudaEngine,
                         testing::Values(Case{"cross_entropy", {3, 2, 2, false}, Loss::cross_entropy, 2, 32, 32},
                                         Case{"soft_dice", {3, 2, 2, false}, Loss::soft_dice, 2, 32, 32},
                                         Case{"bilinear", {3, 3, 2, true}, Loss::cross_entropy, 2, 32, 48},
                                         Case{"odd_size", {3, 2, 4, false}, Loss::soft_dice, 1, 21, 35}),
                         name_of_case);

class CudaEngineStep : public NeedsDevice {};
class CudaEngineCheckpoint : public NeedsDevice {};

TEST_F(CudaEngineStep, IsRepeatable) {
  const Course first = train(kSmall, kCuda), again = train(kSmall, kCuda);
  EXPECT_EQ(first.values, again.values);
  EXPECT_EQ(first.running, again.running);
}

TEST_F(CudaEngineStep, ClipsAsTheCpuDoes) {
  const Course there = train(kSmall, kCuda, Dtype::f32, 0.05), here = train(kSmall, Device{}, Dtype::f32, 0.05);
  EXPECT_NEAR(there.results.back().loss, here.results.back().loss, 1e-4 * here.results.back().loss);
  EXPECT_LE(nmse(there.values, here.values), 1e-8);
}

TEST_F(CudaEngineStep, ThatIsNotFiniteChangesNothingAndNamesTheLayer) {
  models::UNet model(kSmall.spec, 3, {.device = kCuda});
  Adam adam(model.parameters(), {});
  Step step(model.parameters(), adam);
  const Batch batch = batch_of(kSmall);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto& params = model.parameters().params();
  const auto at = std::find_if(params.begin(), params.end(),
                               [](const auto& p) { return p.name == "down1.maxpool_conv.1.double_conv.0.weight"; });
  ASSERT_NE(at, params.end());
  upload(model.parameters().values().data<float>() + at->offset, kCuda, &nan, sizeof nan);
  const auto values = model.parameters().running().values<double>();
  issue(model, step, Loss::cross_entropy, batch, Dtype::f32);
  const StepResult result = step.take_result().value();
  EXPECT_FALSE(result.committed);
  EXPECT_EQ(
      result.reason,
      "the loss is nan; the first layer with values that are not finite is \"down1.maxpool_conv.1.double_conv.1\"");
  EXPECT_EQ(model.parameters().running().values<double>(), values);
  EXPECT_EQ(adam.steps(), 0);
}

TEST_F(CudaEngineStep, ALabelOutsideTheClassesDropsTheStep) {
  models::UNet model(kSmall.spec, 3, {.device = kCuda});
  Adam adam(model.parameters(), {});
  Step step(model.parameters(), adam);
  Batch batch = batch_of(kSmall);
  batch.labels.data<std::uint8_t>()[17] = 7;
  for (const Loss loss : {Loss::cross_entropy, Loss::soft_dice}) {
    issue(model, step, loss, batch, Dtype::f32);
    EXPECT_FALSE(step.take_result()->committed);
  }
}

TEST_F(CudaEngineStep, InferenceEqualsTheCpus) {
  for (const bool bilinear : {false, true}) {
    const models::SegmenterSpec spec{3, 3, 2, bilinear};
    models::UNet here(spec, 1), there(spec, 1, {.device = kCuda});
    const Tensor images = random_images({1, 20, 36, 3}, Dtype::f32, 4);
    const auto logits = [&](models::UNet& model) {
      Tape tape(Tape::Mode::inference);
      return model.forward(tape, tape.input(images.to(model.parameters().device()))).value.values<double>();
    };
    EXPECT_LE(nmse(logits(there), logits(here)), 1e-10);
  }
}

TEST_F(CudaEngineCheckpoint, GoesThroughTheHostUnchanged) {
  const std::string path = testing::TempDir() + "cuda_engine.safetensors";
  models::UNet there(kSmall.spec, 3, {.device = kCuda, .bf16_copies = true}),
      again(kSmall.spec, 4, {.device = kCuda, .bf16_copies = true}), here(kSmall.spec, 5);
  Adam adam(there.parameters(), {}), adam_again(again.parameters(), {}), adam_here(here.parameters(), {});
  Step step(there.parameters(), adam);
  issue(there, step, Loss::cross_entropy, batch_of(kSmall), Dtype::bf16);
  ASSERT_TRUE(step.take_result()->committed);
  save_training(path, there.parameters(), adam, {});
  load_training(SafetensorsFile(path), again.parameters(), adam_again);
  load_training(SafetensorsFile(path), here.parameters(), adam_here);
  const auto expected = there.parameters().values().values<double>();
  EXPECT_EQ(again.parameters().values().values<double>(), expected);
  EXPECT_EQ(here.parameters().values().values<double>(), expected);
  EXPECT_EQ(again.parameters().copies().values<double>(), there.parameters().copies().values<double>());
  EXPECT_EQ(adam_again.m().values<double>(), adam.m().values<double>());
  EXPECT_EQ(adam_here.v().values<double>(), adam.v().values<double>());
  EXPECT_EQ(adam_again.steps(), 1);
}

TEST_F(CudaEngineCheckpoint, ASnapshotIsWhatItWasWhileStepsGoOn) {
  const std::string path = testing::TempDir() + "cuda_snapshot.safetensors";
  models::UNet model(kSmall.spec, 3, {.device = kCuda}), loaded(kSmall.spec, 4);
  Adam adam(model.parameters(), {}), adam_loaded(loaded.parameters(), {});
  Step step(model.parameters(), adam);
  Snapshot snapshot(model.parameters());
  for (std::int64_t round = 1; round <= 2; ++round) {  // the second time into the same memory
    issue(model, step, Loss::cross_entropy, batch_of(kSmall), Dtype::f32);
    ASSERT_TRUE(step.take_result()->committed);
    const auto values = model.parameters().values().values<double>(), m = adam.m().values<double>();
    const auto running = model.parameters().running().values<double>();
    const std::int64_t steps = adam.steps();
    snapshot.take(&adam);
    std::thread writer([&] { snapshot.save_training(path, {}); });
    issue(model, step, Loss::cross_entropy, batch_of(kSmall), Dtype::f32);
    ASSERT_TRUE(step.take_result()->committed);
    writer.join();
    load_training(SafetensorsFile(path), loaded.parameters(), adam_loaded);
    EXPECT_FALSE(model.parameters().values().values<double>() == values) << "the step changed nothing";
    EXPECT_EQ(loaded.parameters().values().values<double>(), values);
    EXPECT_EQ(loaded.parameters().running().values<double>(), running);
    EXPECT_EQ(adam_loaded.m().values<double>(), m);
    EXPECT_EQ(adam_loaded.steps(), steps);
    EXPECT_EQ(loaded.parameters().stats()[0].batches_tracked, steps);
  }
}

}  // namespace
}  // namespace unet::test::unet_steps_on_cuda_test
