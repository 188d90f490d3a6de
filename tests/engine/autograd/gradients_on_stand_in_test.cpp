// Gradients of convolution weights beside bf16 copies: kept as the backward pass gives them, summed up in f32.
#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "tests/models/unet_steps.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace unet::test::gradients_on_stand_in_test {
namespace {

constexpr std::int64_t kC = 8;

/// A convolution and a transposed one, in bf16.
struct Model {
  Model() : parameters(Dtype::f32, kCuda, true) {
    bias = parameters.add("bias", {kC}, {.bound = 0.5});
    weight = parameters.add_operand("weight", {kC, 3, 3, kC}, {.bound = 0.5});
    up = parameters.add_operand("up", {kC, 2, 2, kC}, {.bound = 0.5});
    parameters.initialize(7);
  }

  /// Forward and backward, of `step` if given; the kernels that backward launched beside the loss's and its own
  /// products.
  std::uint64_t pass(std::uint64_t batch, bool with_up = true, Step* step = nullptr) {
    Tape tape;
    const Tensor images = random_images({2, 4, 6, kC}, Dtype::f32, batch);
    const Tensor x = Tensor::empty(images.shape(), Dtype::bf16, kCuda);
    kernels::cuda::copy(images.to(kCuda).const_view(), x.view());
    Var y = conv2d(tape, tape.leaf(x), tape.operand(parameters, weight), tape.param(parameters, bias), {.pad = 1});
    if (with_up) y = conv_transpose2d(tape, y, tape.operand(parameters, up), {});
    const Tensor dy = Tensor::empty(y.shape(), Dtype::bf16, kCuda);
    kernels::cuda::copy(random_images(y.shape(), Dtype::f32, batch + 100).to(kCuda).const_view(), dy.view());
    const Var loss = tape.output(Tensor::zeros({1}, Dtype::f64, kCuda), {&y});
    tape.record([&tape, id = y.id, dy] { tape.add_gradient(id, dy); });
    const std::uint64_t before = shim::shim_runtime().launches();
    if (step != nullptr) {
      step->backward(tape, loss);
    } else {
      tape.backward(loss);
    }
    return shim::shim_runtime().launches() - before;
  }
  std::vector<double> gradient(ParamId id) const { return parameters.gradient(id).values<double>(); }

  Parameters parameters;
  ParamId weight, up, bias;
};

TEST(CudaGradients, OfConvolutionWeightsStayInBf16AndCostNoCopy) {
  Model model;
  // The bias's sum, two kernels, and the gather: each weight's gradient is written where it is read.
  EXPECT_EQ(model.pass(1), 3u);
  EXPECT_EQ(model.parameters.gradient(model.weight).dtype(), Dtype::bf16);
  EXPECT_EQ(model.parameters.gradient(model.up).dtype(), Dtype::bf16);
  EXPECT_EQ(model.parameters.gradient(model.bias).dtype(), Dtype::f32);
  const std::vector<Tensor> ranges = model.parameters.gradients();
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].dtype(), Dtype::bf16);
  EXPECT_EQ(ranges[0].size() + ranges[1].size(), model.parameters.values().size());
  EXPECT_EQ(model.parameters.copies().size(), ranges[0].size());
}

TEST(CudaGradients, OfSeveralPassesAreSummedInF32) {
  Model model;
  std::vector<std::vector<double>> weight, up;  // of each pass alone
  for (const std::uint64_t batch : {1, 2, 3}) {
    model.pass(batch, batch > 1);  // the other weight begins in the second pass
    weight.push_back(model.gradient(model.weight));
    up.push_back(model.gradient(model.up));
    model.parameters.end_step();
  }
  for (const std::uint64_t batch : {1, 2, 3}) model.pass(batch, batch > 1);
  for (const Tensor& range : model.parameters.gradients()) EXPECT_EQ(range.dtype(), Dtype::f32);
  const auto plus = [](std::vector<double> a, const std::vector<double>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(static_cast<float>(a[i] + b[i]));
    return a;
  };
  EXPECT_EQ(model.gradient(model.weight), plus(plus(weight[0], weight[1]), weight[2]));
  EXPECT_EQ(model.gradient(model.up), plus(up[1], up[2]));
  model.parameters.end_step();
  model.pass(1, false);
  EXPECT_EQ(model.gradient(model.weight), weight[0]) << "the step before shows";
  EXPECT_EQ(model.parameters.gradient(model.weight).dtype(), Dtype::bf16);
}

TEST(CudaGradients, ThatAreNotFiniteNameTheirParameterInEitherRange) {
  Model model;
  Adam adam(model.parameters, {});
  Step step(model.parameters, adam);
  for (const ParamId bad : {model.weight, model.up, model.bias}) {
    step.begin({.lr = kLr});
    model.pass(1, true, &step);
    const Tensor gradient = model.parameters.gradient(bad);
    const auto last = static_cast<std::size_t>(gradient.bytes()) - kernels::size_of(gradient.dtype());
    kernels::cuda::runtime().fill_bytes(gradient.data<std::byte>() + last, 0xff, gradient.bytes() - last);
    step.commit();
    const StepResult result = step.take_result().value();
    EXPECT_FALSE(result.committed);
    EXPECT_NE(result.reason.find('"' + model.parameters.name(bad) + '"'), std::string::npos) << result.reason;
  }
  step.begin({.lr = kLr});
  model.pass(1, true, &step);
  step.commit();
  EXPECT_TRUE(step.take_result()->committed);
}

TEST(CudaGradients, AreNormedAndAppliedInFewLaunches) {
  for (const Dtype activations : {Dtype::f32, Dtype::bf16}) {
    models::UNet model(kSmall.spec, 3, {.device = kCuda, .bf16_copies = activations == Dtype::bf16});
    Adam adam(model.parameters(), {});
    Step step(model.parameters(), adam);
    const Tensor labels = batch_of(kSmall).labels.to(kCuda);
    const Tensor images = batch_of(kSmall).images.to(kCuda);
    step.begin({.lr = kLr});
    Tape tape;
    const Var x = normalize_images(tape, images, imagenet_normalization(), image_channels(3, kCuda), activations);
    step.backward(tape, loss_of(tape, Loss::cross_entropy, model.forward(tape, x), labels));
    const std::uint64_t before = shim::shim_runtime().launches();
    step.commit();
    // Squares of gradients and of statistics, the verdict, Adam's clock, Adam, running statistics.
    EXPECT_EQ(shim::shim_runtime().launches() - before, 6u);
    EXPECT_TRUE(step.take_result()->committed);
  }
}

}  // namespace
}  // namespace unet::test::gradients_on_stand_in_test
