// The ResNet34-UNet by itself: its parameters, sizes, gradients, and how its files are recognised.
#include "models/resnet34_unet.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "engine/train/checkpoint.h"
#include "models/description.h"
#include "tests/models/unet_support.h"
#include "tests/support/data_support.h"
#include "tests/support/error_of.h"
#include "tests/support/file_support.h"
#include "tests/support/tensor_file.h"

namespace unet::test::resnet34_unet_test {
namespace {

models::SegmenterSpec narrow(std::int64_t classes = 2, std::int64_t channels = 3) {
  return {.in_channels = channels, .classes = classes, .base_channels = 4, .model = "resnet34_unet"};
}

TEST(ResNet34UNet, HasAsManyParametersAsTheOriginal) {
  for (const auto& [classes, count] : {std::pair{1, 24436369}, {2, 24436514}, {12, 24437964}}) {
    const models::ResNet34UNet model({.classes = classes});
    EXPECT_EQ(model.parameters().count(), count);
    std::int64_t encoder = 0;
    for (const Parameters::Param& param : model.parameters().params()) {
      if (param.name.starts_with("encoder.")) encoder += param.shape.size();
      EXPECT_EQ(model.parameters().groups()[param.group].name,
                param.name.starts_with("encoder.") ? "encoder" : "decoder");
    }
    EXPECT_EQ(encoder, 21284672);
  }
}

// The encoder normal with variance 2 / (Cout * taps), the decoder uniform with 2 / (Cin * taps), the head with
// 2 / ((Cin + Cout) * taps), as torchvision and segmentation_models.pytorch draw them.
TEST(ResNet34UNet, BeginsAsTheOriginalDoes) {
  const models::ResNet34UNet model({.base_channels = 32}, 3);
  const Parameters& parameters = model.parameters();
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    const Parameters::Param& param = parameters.params()[i];
    const std::vector<double> values = parameters.value(id_of(i)).values<double>();
    if (param.shape.rank() == 1) {
      const double expected = param.name.ends_with(".bias") ? 0 : 1;
      EXPECT_TRUE(std::ranges::all_of(values, [&](double v) { return v == expected; })) << param.name;
      continue;
    }
    const auto Cout = static_cast<double>(param.shape[0]), Cin = static_cast<double>(param.shape[3]);
    const auto taps = static_cast<double>(param.shape[1] * param.shape[2]);
    const bool encoder = param.name.starts_with("encoder."), head = param.name.starts_with("segmentation_head");
    const double variance = 2 / (taps * (encoder ? Cout : head ? (Cin + Cout) : Cin));
    double sum = 0, squares = 0, fourth = 0;
    for (const double v : values) {
      sum += v;
      squares += v * v;
      fourth += v * v * v * v;
    }
    const auto n = static_cast<double>(values.size());
    const double noise = 6 / std::sqrt(n);  // more than any of these 46 deviates by
    EXPECT_NEAR(sum / n / std::sqrt(variance), 0, noise) << param.name;
    EXPECT_NEAR(squares / n / variance, 1, 1.5 * noise) << param.name;
    // Kurtosis: 3 of a normal, 1.8 of a uniform distribution.
    if (n < 4000) continue;
    EXPECT_NEAR(n * fourth / (squares * squares), encoder ? 3 : 1.8, 0.5) << param.name;
  }
}

TEST(ResNet34UNet, TakesAnySizeAndAnyNumberOfChannels) {
  for (const std::int64_t channels : {1, 3, 5}) {
    models::ResNet34UNet model(narrow(4, channels), 1);
    for (const auto& [H, W] : {std::pair<std::int64_t, std::int64_t>{32, 32}, {1, 1}, {33, 70}, {64, 31}}) {
      const Tensor images = random_images({2, H, W, channels}, Dtype::f32, 1);
      Tape tape(Tape::Mode::inference);
      const Var logits = model.forward(tape, tape.input(images));
      EXPECT_TRUE(logits.shape() == (Shape{2, H, W, 4})) << logits.shape().str();
      for (const double v : logits.value.values<double>()) ASSERT_TRUE(std::isfinite(v));
    }
  }
}

TEST(ResNet34UNet, RefusesWhatMakesNoNetwork) {
  models::SegmenterSpec odd = narrow(), bilinear = narrow();
  odd.base_channels = 6;
  bilinear.bilinear = true;
  expect_parts(tests::error_of([&] { models::ResNet34UNet model(odd); }), {"multiple of 4", "6"});
  expect_parts(tests::error_of([&] { models::ResNet34UNet model(bilinear); }), {"no bilinear upsampling"});
}

TEST(ResNet34UNet, WorkIsThatOfItsLayers) {
  const models::ResNet34UNet model(models::SegmenterSpec{});
  const models::Work work = model.work(256, 256);
  EXPECT_NEAR(work.forward / 1e9, 7.82, 0.01);
  EXPECT_EQ(work.training, 3 * work.forward - 128.0 * 128 * 7 * 7 * 3 * 64);
  EXPECT_EQ(model.work(250, 225).forward, work.forward) << "padded to multiples of 32";
  EXPECT_EQ(model.deepest_pixels(256, 256), 64);
  EXPECT_EQ(model.deepest_pixels(33, 32), 2);
}

// Inference, every batch norm folded, also before a residual, against the same statistics applied by norm_act: what a
// frozen encoder computes where something in front of it wants a gradient.
TEST(ResNet34UNet, FoldedInferenceIsThatOfItsBatchNorms) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    models::ResNet34UNet model(narrow(3), 5, {.dtype = dtype});
    Parameters& parameters = model.parameters();
    for (std::size_t s = 0; s < parameters.stats().size(); ++s) {
      const RunningStats stats = parameters.running({static_cast<int>(s)});
      for (const Tensor& one : {stats.mean, stats.variance}) {
        const Tensor drawn = random_images(one.shape(), dtype, s);
        std::vector<double> values = drawn.values<double>();
        for (double& v : values) v = one.data<void>() == stats.mean.data<void>() ? 0.2 * v : 1 + 0.2 * v;
        const Tensor to = Tensor::of(one.shape(), dtype, values);
        upload(one.data<void>(), Device(), to.data<void>(), to.bytes());
      }
    }
    const Tensor images = random_images({2, 64, 32, 3}, dtype, 1);
    Tape inference(Tape::Mode::inference), recording;
    const std::vector<double> folded = model.forward(inference, inference.input(images)).value.values<double>();
    for (const char* group : {"encoder", "decoder"}) parameters.set_trainable(group, false);
    const std::vector<double> plain = model.forward(recording, recording.leaf(images)).value.values<double>();
    EXPECT_LE(relative_error(folded, plain), dtype == Dtype::f64 ? 1e-12 : 2e-5);
  }
}

struct GradCase {
  const char* name;
  Loss loss;
  std::int64_t N, H, W;
};
void PrintTo(const GradCase& c, std::ostream* out) { *out << c.name; }
class ResNet34UNetGradCheck : public testing::TestWithParam<GradCase> {};
INSTANTIATE_TEST_SUITE_P(, ResNet34UNetGradCheck,
                         testing::Values(GradCase{"CrossEntropy", Loss::cross_entropy, 2, 64, 64},
                                         GradCase{"SoftDice", Loss::soft_dice, 2, 64, 64},
                                         GradCase{"OddSizeCrossEntropy", Loss::cross_entropy, 3, 37, 70}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_P(ResNet34UNetGradCheck, EveryParameter) {
  const GradCase& c = GetParam();
  const ThreadScope team(1);
  models::ResNet34UNet model(narrow(3, 2), 5, {.dtype = Dtype::f64});
  Parameters& parameters = model.parameters();
  const Tensor images = random_images({c.N, c.H, c.W, 2}, Dtype::f64, 5), labels = random_labels(c.N, c.H, c.W, 3, 5);
  const auto loss_now = [&] {
    Tape tape;
    const double value = scalar(loss_of(tape, c.loss, model.forward(tape, tape.input(images)), labels));
    parameters.end_step();
    return value;
  };
  run_pass(model, c.loss, images, labels);
  Worst worst;
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    ASSERT_TRUE(parameters.has_gradient(id_of(i))) << parameters.params()[i].name;
  }
  std::vector<std::vector<double>> gradients;
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    gradients.push_back(parameters.gradient(id_of(i)).values<double>());
  }
  parameters.end_step();
  constexpr double kEpsilon = 1e-7;
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    double* value = parameters.value(id_of(i)).data<double>();
    double largest = 0;
    for (const double g : gradients[i]) largest = std::max(largest, std::abs(g));
    const std::size_t at = random_bits(5, Purpose::test, i) % gradients[i].size();
    const double kept = value[at];
    value[at] = kept + kEpsilon;
    const double above = loss_now();
    value[at] = kept - kEpsilon;
    const double below = loss_now();
    value[at] = kept;
    worst.see(std::abs((above - below) / (2 * kEpsilon) - gradients[i][at]) / std::max(largest, 1e-4),
              parameters.params()[i].name);
  }
  std::printf("worst %.2g (%s)\n", worst.error, worst.name.c_str());
  EXPECT_LE(worst.error, 1e-4) << worst.name;
}

class RecognizeResNet34UNet : public testing::Test {
 protected:
  RecognizeResNet34UNet() {
    save_model(folder_ / "ours", models::ResNet34UNet(narrow(5, 4), 1).parameters(), {});
    file_ = TensorFile(folder_ / "ours");
    file_.metadata.clear();
  }
  models::Description described(const TensorFile& file) const {
    file.write(folder_ / "t");
    return models::describe(models::registry(), SafetensorsFile(folder_ / "t"));
  }
  std::string refused(const TensorFile& file) const {
    return tests::error_of([&] { described(file); });
  }

  const Folder folder_;
  TensorFile file_;
};

TEST_F(RecognizeResNet34UNet, ByItsTensors) {
  TensorFile file = file_;
  file.metadata["normalization"] = "0,0,0,0/1,1,1,1";
  const models::Description out = described(file);
  EXPECT_EQ(out.spec.model, "resnet34_unet");
  EXPECT_EQ(out.spec.in_channels, 4);
  EXPECT_EQ(out.spec.classes, 5);
  EXPECT_EQ(out.spec.base_channels, 4);
}

TEST_F(RecognizeResNet34UNet, AsImageNetWhereItDoesNotSayHowImagesWereNormalized) {
  save_model(folder_ / "rgb", models::ResNet34UNet(narrow(2), 1).parameters(), {});
  file_ = TensorFile(folder_ / "rgb");
  file_.metadata.clear();
  const models::Description out = described(file_);
  EXPECT_FALSE(out.says_normalization);
  EXPECT_EQ(models::text_of(out.spec.normalization), "imagenet");
}

TEST_F(RecognizeResNet34UNet, RefusesWhatIsNoneOfItsKind) {
  TensorFile file = file_;
  file.tensors.erase("encoder.layer4.2.conv2.weight");  // a ResNet-18's
  expect_parts(refused(file), {"no whole resnet34_unet", "\"encoder.layer4.2.conv2.weight\" is missing"});
  file = file_;
  file.set("decoder.blocks.0.conv1.0.weight", {16, 40, 3, 3}, std::vector<float>(16 * 40 * 9));
  expect_parts(refused(file), {"\"decoder.blocks.0.conv1.0.weight\" would be 16x48, it is 16x40"});
  file = file_;
  file.set("segmentation_head.0.weight", {5}, std::vector<float>(5));
  expect_parts(refused(file), {"\"segmentation_head.0.weight\"", "not that of a convolution"});
  file = file_;
  file.set("encoder.conv1.weight", {1 << 17, 4, 1, 1}, std::vector<float>(4 << 17));
  expect_parts(refused(file), {"no resnet34_unet that can be: 131072 base channels"});
}

}  // namespace
}  // namespace unet::test::resnet34_unet_test
