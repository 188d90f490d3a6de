// Autotune on a device, whose library plans what it cannot run.
#include "engine/ops/conv_plans.h"

#include <gtest/gtest.h>

#include <array>

#include "engine/nn/layers.h"
#include "engine/ops/ops.h"
#include "tests/support/cuda_shim/failing_runtime.h"
#include "tests/support/cuda_shim/shim_runtime.h"
#include "tests/support/tensors.h"

namespace unet::tests::conv_plans_on_stand_in_test {
namespace {

/// Counts what is asked of events.
struct Counting : shim::FailingRuntime {
  Counting() : FailingRuntime(shim::shim_runtime(), 0) { kernels::cuda::set_runtime(this); }
  ~Counting() override { kernels::cuda::set_runtime(nullptr); }
  float elapsed_ms(kernels::cuda::Event from, kernels::cuda::Event to) override {
    ++intervals;
    return FailingRuntime::elapsed_ms(from, to);
  }
  int intervals = 0;
};

/// cuDNN takes no slices: it works on copies.
TEST(CudaConv, OfSlicesIsTheCpus) {
  const Shape x_shape{2, 9, 8, 16}, w_shape{24, 3, 3, 16}, y_shape{2, 5, 4, 24};
  const auto pass = [&](Device device) {
    const Tensor wide = Tensor::of({2, 9, 8, 24}, Dtype::f32, normal_values(2 * 9 * 8 * 24, 1)).to(device);
    const Tensor wide_dy = Tensor::of({2, 5, 4, 32}, Dtype::f32, normal_values(2 * 5 * 4 * 32, 3)).to(device);
    const Tensor weight = Tensor::of(w_shape, Dtype::f32, normal_values(w_shape.size(), 2)).to(device);
    const Tensor y = Tensor::zeros(y_shape, Dtype::f32, device), dx = Tensor::zeros(x_shape, Dtype::f32, device);
    const Tensor dweight = Tensor::zeros(w_shape, Dtype::f32, device);
    kernels::ConvOperands io;
    io.x = wide.slice(8, 24).const_view();
    io.dy = wide_dy.slice(0, 24).const_view();
    io.weights = weight.const_view();
    io.y = y.view();
    io.dx = dx.view();
    io.dweights = dweight.view();
    for (const auto p :
         {kernels::ConvPass::forward, kernels::ConvPass::backward_data, kernels::ConvPass::backward_weights}) {
      run_conv({p, {.stride = 2, .pad = 1}, {2, 9, 8, 16, 24, 3, 3}, Dtype::f32}, device, io);
    }
    return std::array{y.values<double>(), dx.values<double>(), dweight.values<double>()};
  };
  const auto got = pass(kCuda), want = pass({});
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LE(nmse(got[i], want[i]), 1e-12) << i;
}

TEST(CudaConv, WithAResidualIsTheCpus) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const auto pass = [&](Device device) {
      const auto given = [&](const Shape& shape, Dtype of, std::uint64_t stream) {
        return Tensor::of(shape, of, normal_values(shape.size(), stream)).to(device);
      };
      Tape tape(Tape::Mode::inference);
      Conv2dOptions options{.pad = 1, .relu = true, .scale = given({24}, Dtype::f32, 4)};
      options.residual = given({2, 9, 8, 40}, dtype, 3).slice(16, 40);
      return conv2d(tape, tape.input(given({2, 9, 8, 16}, dtype, 1)), tape.input(given({24, 3, 3, 16}, Dtype::f32, 2)),
                    tape.input(given({24}, Dtype::f32, 5)), options)
          .value.values<double>();
    };
    // bf16: a device multiplies by scaled weights that are rounded, and rounds the result: twice what the CPU does.
    EXPECT_LE(nmse(pass(kCuda), pass({})), dtype == Dtype::f32 ? 1e-11 : 2e-5) << kernels::name_of(dtype);
  }
}

/// Where cuDNN would add the residual in a pass of its own, norm_act does.
TEST(CudaConv, ALayerWithAResidualIsTheCpus) {
  const auto pass = [](Device device) {
    Parameters parameters(Dtype::f32, device);
    const nn::ConvNormAct layer(parameters, "conv", "norm", 16, 24);
    parameters.initialize(3);
    Tape tape(Tape::Mode::inference);
    nn::ConvNormAct::Options options;
    options.residual = tape.input(Tensor::of({2, 9, 8, 24}, Dtype::f32, normal_values(2 * 9 * 8 * 24, 3)).to(device));
    const Tensor x = Tensor::of({2, 9, 8, 16}, Dtype::f32, normal_values(2 * 9 * 8 * 16, 1)).to(device);
    return layer.forward(tape, tape.input(x), options).y.value.values<double>();
  };
  EXPECT_LE(nmse(pass(kCuda), pass({})), 1e-11);
}

class CudaAutotune : public testing::Test {
 protected:
  CudaAutotune() {
    set_conv_autotune(true);  // forgets what was chosen
    notes_ = {.runs = {}, .one_is_broken = true};
  }
  ~CudaAutotune() override {
    set_conv_autotune(false);
    replay_conv_plans({});
    offer_conv_plans({}, {});
    take_timed_conv_plans();
    notes_ = {};
  }

  static std::vector<double> convolve(Device device) {
    Tape tape(Tape::Mode::inference);
    const Tensor x = Tensor::of({2, 11, 9, 16}, Dtype::f32, normal_values(2 * 11 * 9 * 16, 1)).to(device);
    const Tensor weight = Tensor::of({24, 3, 3, 16}, Dtype::f32, normal_values(24 * 9 * 16, 2)).to(device);
    return conv2d(tape, tape.input(x), tape.input(weight), {}, {.pad = 1}).value.values<double>();
  }

  shim::ConvolutionNotes& notes_ = shim::convolution_notes();
};

TEST_F(CudaAutotune, LeavesOutWhatFailsAndTimesTheOthersByEvents) {
  Counting runtime;
  EXPECT_LE(nmse(convolve(kCuda), convolve(Device{})), 1e-10);
  std::string chosen;
  for (const PlanUse& use : conv_plan_uses()) {
    if (use.id.rfind("shim:", 0) == 0) chosen = use.id;
  }
  EXPECT_NE(chosen, "");
  EXPECT_EQ(notes_.runs.at("shim:broken"), 1) << "tried, and no more";
  EXPECT_NE(chosen, "shim:broken");
  EXPECT_GE(notes_.runs.at(chosen), 10);
  EXPECT_GE(runtime.intervals, 3);
}

TEST_F(CudaAutotune, FollowsWhatWasOfferedAndTimesNothing) {
  convolve(kCuda);
  std::vector<PlanChoice> offered = take_timed_conv_plans();
  ASSERT_EQ(offered.size(), 1u);
  EXPECT_EQ(offered, conv_plan_choices());
  EXPECT_TRUE(take_timed_conv_plans().empty());
  std::string fault;
  const auto refused = [&fault](const std::string& reason) { fault = reason; };
  const auto run_anew = [&](const std::string& id) {
    offered[0].id = id;
    offer_conv_plans(offered, refused);
    set_conv_autotune(true);
    notes_.runs.clear();
    Counting runtime;
    convolve(kCuda);
    return runtime.intervals;
  };
  EXPECT_EQ(run_anew("shim:own:gemm"), 0);
  EXPECT_EQ(conv_plan_choices(), offered);
  EXPECT_EQ(notes_.runs, (std::map<std::string, int>{{"shim:own:gemm", 2}})) << "tried, and run";
  EXPECT_TRUE(take_timed_conv_plans().empty()) << "what is known already";
  EXPECT_EQ(fault, "");

  EXPECT_GT(run_anew("shim:none"), 0);
  EXPECT_EQ(fault, "plan id \"shim:none\" is none of the stand-in's");
  EXPECT_GT(run_anew("shim:broken"), 0);
  EXPECT_EQ(fault, "cuDNN 9.9, running engine 1: CUDNN_STATUS_EXECUTION_FAILED");
  EXPECT_EQ(take_timed_conv_plans().size(), 2u);
  EXPECT_NE(conv_plan_choices().at(0).id, "shim:broken");

  // Offers are for those who would time, and behind what is replayed.
  offered[0].id = "shim:own:gemm";
  offer_conv_plans(offered, refused);
  set_conv_autotune(false);
  convolve(kCuda);
  EXPECT_NE(conv_plan_choices(), offered);
  std::vector<PlanChoice> replayed = conv_plan_choices();
  add_conv_plans(replayed);
  add_conv_plans(offered);
  set_conv_autotune(true);
  convolve(kCuda);
  EXPECT_EQ(conv_plan_choices(), replayed);
}

}  // namespace
}  // namespace unet::tests::conv_plans_on_stand_in_test
