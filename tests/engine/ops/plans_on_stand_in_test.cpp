// What a choice of convolutions is made for includes how f32 is multiplied on the device.
#include "engine/ops/conv_plans.h"

#include "tests/support/op_case.h"

namespace unet::tests::plans_on_stand_in_test {
namespace {

TEST(CudaPlans, ChosenInTf32AreNotReplayedInStrictFp32) {
  const auto ids = [](bool tf32) {
    set_conv_tf32(tf32);
    Tape tape(Tape::Mode::inference);
    const Var x = tape.input(Tensor::zeros({1, 8, 8, 16}, Dtype::f32, kCuda));
    conv2d(tape, x, tape.input(Tensor::zeros({16, 3, 3, 16}, Dtype::f32, kCuda)), {}, {.pad = 1});
    std::vector<std::string> out;
    for (const PlanUse& use : conv_plan_uses()) out.push_back(use.id);
    return out;
  };
  const std::string by_rule = ids(true).at(0), other = "shim:own:gemm";
  ASSERT_NE(by_rule, other);
  std::vector<PlanChoice> choices = conv_plan_choices();
  for (PlanChoice& c : choices) c.id = other;
  replay_conv_plans(choices);
  EXPECT_EQ(ids(true), std::vector{other});
  EXPECT_EQ(ids(false), std::vector{by_rule});
  replay_conv_plans({});
}

}  // namespace
}  // namespace unet::tests::plans_on_stand_in_test
