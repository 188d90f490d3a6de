// Properties of training the whole UNet that no reference value shows: its size, any image size, no allocation after
// the first step, the same bytes again.
#include <gtest/gtest.h>

#include "engine/core/pool.h"
#include "tests/models/unet_support.h"

namespace unet::test::unet_training_test {
namespace {

using kernels::ConvProvider;

TEST(UNet, HasTheParametersOfTheMilesialUNet) {
  EXPECT_EQ(models::UNet({3, 2, 64, false}).parameters().count(), 31'037'698);
  EXPECT_EQ(models::UNet({3, 2, 64, true}).parameters().count(), 17'263'042);
}

class UNetSize : public testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(, UNetSize,
                         testing::Values(std::pair{1, 1}, std::pair{1, 40}, std::pair{17, 23}, std::pair{96, 50},
                                         std::pair{32, 16}),
                         [](const auto& param_info) {
                           return fmt::format("{}x{}", param_info.param.first, param_info.param.second);
                         });

TEST_P(UNetSize, TrainsAndPredictsWithFiveChannelsAndSevenClasses) {
  const auto [H, W] = GetParam();
  const Loss losses[] = {Loss::cross_entropy, Loss::soft_dice};
  for (const bool bilinear : {false, true}) {
    for (const std::int64_t N : {1, 2}) {
      models::UNet model({5, 7, 4, bilinear}, 3);
      Adam adam(model.parameters(), {});
      const Tensor images = random_images({N, H, W, 5}, Dtype::f32, 1);
      const Tensor labels = random_labels(N, H, W, 7, 2);
      for (const Loss loss : losses) {
        const StepResult result = train_step(model, adam, loss, images, labels, 1e-3);
        EXPECT_TRUE(result.committed) << result.reason;
        EXPECT_TRUE(std::isfinite(result.loss));
      }
      Tape tape(Tape::Mode::inference);
      const Var logits = model.forward(tape, tape.input(images));
      EXPECT_EQ(logits.shape(), (Shape{N, H, W, 7}));
      for (const double value : logits.value.values<double>()) ASSERT_TRUE(std::isfinite(value));
    }
  }
}

TEST_P(UNetSize, PadsWithZerosAndCrops) {
  const auto [H, W] = GetParam();
  const std::int64_t Hp = (H + 15) / 16 * 16, Wp = (W + 15) / 16 * 16;
  const Tensor images = random_images({1, H, W, 2}, Dtype::f64, 1);
  const std::vector<double> x = images.values<double>();
  std::vector<double> padded(static_cast<std::size_t>(Hp * Wp * 2), 0.0);
  for (std::int64_t h = 0; h < H; ++h) {
    std::copy_n(x.begin() + h * W * 2, W * 2, padded.begin() + h * Wp * 2);
  }
  models::UNet model({2, 3, 2, false}, 3, {.dtype = Dtype::f64});
  Tape tape(Tape::Mode::inference);
  const std::vector<double> y = model.forward(tape, tape.input(images)).value.values<double>();
  const std::vector<double> whole =
      model.forward(tape, tape.input(Tensor::of({1, Hp, Wp, 2}, Dtype::f64, padded))).value.values<double>();
  for (std::int64_t h = 0; h < H; ++h) {
    for (std::int64_t i = 0; i < W * 3; ++i) {
      ASSERT_EQ(y[static_cast<std::size_t>(h * W * 3 + i)], whole[static_cast<std::size_t>(h * Wp * 3 + i)]);
    }
  }
}

TEST(UNet, RefusesImagesOfAnotherChannelCount) {
  models::UNet model({3, 2, 2, false});
  Tape tape;
  try {
    model.forward(tape, tape.input(random_images({1, 16, 16, 4}, Dtype::f32, 1)));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("images must be [N,H,W,3], got [1,16,16,4]"), std::string::npos)
        << error.what();
  }
}

struct Setting {
  const char* name;
  Dtype dtype;
  ConvProvider provider;
};
void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }

class UNetTraining : public testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    if (!provider_builtin(GetParam().provider)) GTEST_SKIP() << GetParam().name << " is not built in";
  }

  static constexpr std::int64_t N = 2, H = 80, W = 48;
  const Tensor images_ = random_images({N, H, W, 3}, GetParam().dtype, 1);
  const Tensor labels_ = random_labels(N, H, W, 3, 2);
};
INSTANTIATE_TEST_SUITE_P(, UNetTraining,
                         testing::Values(Setting{"f32_automatic", Dtype::f32, ConvProvider::automatic},
                                         Setting{"f32_direct", Dtype::f32, ConvProvider::direct},
                                         Setting{"f32_own", Dtype::f32, ConvProvider::own},
                                         Setting{"f32_onednn", Dtype::f32, ConvProvider::onednn},
                                         Setting{"f64_own", Dtype::f64, ConvProvider::own}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_P(UNetTraining, AsksTheSystemForNoMemoryAfterTheFirstStep) {
  const ProviderScope scope(GetParam().provider);
  for (const bool bilinear : {false, true}) {
    cpu_pool().trim();
    models::UNet model({3, 3, 8, bilinear}, 3, {.dtype = GetParam().dtype});
    Adam adam(model.parameters(), {});
    const std::uint64_t before = cpu_pool().stats().system_calls;
    std::uint64_t after_first = 0;
    std::size_t peak = 0;
    for (int step = 1; step <= 5; ++step) {
      ASSERT_TRUE(train_step(model, adam, Loss::cross_entropy, images_, labels_, 1e-3).committed);
      const PoolStats stats = cpu_pool().stats();
      if (step == 1) {
        after_first = stats.system_calls;
        EXPECT_GT(after_first, before) << "the counter must see the first step";
      }
      EXPECT_EQ(stats.system_calls, after_first) << "step " << step;
      // In the first step the shared workspace grows as convolutions are planned; from the second on it is whole.
      if (step == 2) peak = stats.peak;
      if (step > 2) {
        EXPECT_EQ(stats.peak, peak) << "step " << step;
      }
    }
  }
}

struct Outcome {
  std::vector<double> losses;
  Tensor values, running, m, v;
};

Outcome train(Dtype dtype, const Tensor& images, const Tensor& labels) {
  models::UNet model({3, 3, 16, false}, 3, {.dtype = dtype});
  Adam adam(model.parameters(), {});
  Outcome out;
  for (const Loss loss : {Loss::cross_entropy, Loss::soft_dice, Loss::cross_entropy}) {
    out.losses.push_back(train_step(model, adam, loss, images, labels, 1e-3).loss);
  }
  out.values = model.parameters().values();
  out.running = model.parameters().running();
  out.m = adam.m();
  out.v = adam.v();
  return out;
}

void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_TRUE(same_bytes(a.values, b.values)) << "parameters";
  EXPECT_TRUE(same_bytes(a.running, b.running)) << "running statistics";
  EXPECT_TRUE(same_bytes(a.m, b.m)) << "first moments";
  EXPECT_TRUE(same_bytes(a.v, b.v)) << "second moments";
}

TEST_P(UNetTraining, TwiceGivesTheSameBytes) {
  const ProviderScope scope(GetParam().provider);
  cpu_pool().poison(true);  // memory that is read before it is written would be NaN
  const Outcome first = train(GetParam().dtype, images_, labels_);
  cpu_pool().poison(false);
  for (const double loss : first.losses) EXPECT_TRUE(std::isfinite(loss));
  expect_same(train(GetParam().dtype, images_, labels_), first);
}

TEST(UNetThreads, OwnKernelsGiveTheSameBytesOnOneTwoAndThreeThreads) {
  const ProviderScope scope(ConvProvider::own);
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor images = random_images({2, 80, 48, 3}, dtype, 1), labels = random_labels(2, 80, 48, 3, 2);
    const auto run = [&](int threads) {
      const ThreadScope team(threads);
      return train(dtype, images, labels);
    };
    const Outcome one = run(1);
    for (const int threads : {2, 3}) {
      SCOPED_TRACE(fmt::format("{}, {} threads", kernels::name_of(dtype), threads));
      expect_same(run(threads), one);
    }
  }
}

TEST(UNet, DropsAStepThatIsNotFinite) {
  models::UNet model({3, 2, 2, false}, 3);
  Adam adam(model.parameters(), {});
  const Tensor labels = random_labels(1, 16, 16, 2, 2);
  Tensor images = random_images({1, 16, 16, 3}, Dtype::f32, 1);
  images.data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  const Tensor values = model.parameters().values().clone(), running = model.parameters().running().clone();
  const StepResult result = train_step(model, adam, Loss::cross_entropy, images, labels, 1e-3);
  EXPECT_FALSE(result.committed);
  EXPECT_EQ(result.reason, "the loss is nan; the first layer with values that are not finite is \"inc.double_conv.1\"");
  EXPECT_EQ(adam.steps(), 0);
  EXPECT_EQ(model.parameters().stats()[0].batches_tracked, 0);
  EXPECT_TRUE(same_bytes(model.parameters().values(), values));
  EXPECT_TRUE(same_bytes(model.parameters().running(), running));
}

}  // namespace
}  // namespace unet::test::unet_training_test
