// Groups of parameters on a device: freezing, decay and what follows a step, as on the CPU.
#include "engine/core/dispatch.h"
#include "kernels/running_stats.h"
#include "tests/engine/train/toy.h"
#include "tests/support/needs_device.h"

namespace unet::test::groups_on_cuda_test {
namespace {

using tests::Toy;

struct Course {
  std::vector<double> values, average;
  std::vector<std::int64_t> steps;
};

/// Six steps, the encoder frozen in the first three.
Course train(Device device, bool with_copies, Decay decay) {
  Toy toy(Dtype::f32, device, with_copies);
  Adam adam(toy.parameters, {.weight_decay = 0.3, .decoupled = true}, decay);
  Step step(toy.parameters, adam);
  toy.parameters.set_lr_scale("encoder", 0.3);
  const Tensor average = toy.parameters.values().clone();
  step.after_update([&](const kernels::StepControl* control) {
    dispatch<cpu::update_running_stats, cuda::update_running_stats>(
        average.device(), 0.25, control, toy.parameters.values().const_view(), average.view());
  });
  for (int i = 0; i < 6; ++i) {
    const std::vector<double> encoder = toy.parameters.value({0}).values<double>(),
                              copy = toy.parameters.operand({0}).values<double>();
    toy.parameters.set_trainable("encoder", i >= 3);
    const StepResult result = toy.step(step, static_cast<std::uint64_t>(i), 0.01, 0.1);
    EXPECT_TRUE(result.committed) << result.reason;
    EXPECT_EQ(toy.parameters.value({0}).values<double>() == encoder, i < 3);
    EXPECT_EQ(toy.parameters.operand({0}).values<double>() == copy, i < 3);
  }
  return {toy.parameters.values().values<double>(), average.values<double>(), adam.group_steps()};
}

class CudaEngineGroups : public NeedsDevice {};

TEST_F(CudaEngineGroups, AreFrozenThawedAndDecayedAsOnTheCpu) {
  for (const Decay decay : {Decay::weights, Decay::all}) {
    const Course there = train(kCuda, false, decay), here = train(Device{}, false, decay);
    EXPECT_LE(tests::nmse(there.values, here.values), 1e-8);
    EXPECT_LE(tests::nmse(there.average, here.average), 1e-8);
    EXPECT_EQ(there.steps, (std::vector<std::int64_t>{3, 6}));
    EXPECT_EQ(there.steps, here.steps);
    // With copies the stretches of a group end where the copied weights do.
    EXPECT_LE(tests::nmse(train(kCuda, true, decay).values, here.values), 1e-3);
  }
}

}  // namespace
}  // namespace unet::test::groups_on_cuda_test
