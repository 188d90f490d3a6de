// Checkpoints travel to PyTorch and back (strict_reader.py). Skipped, and counted as skipped, where no Python with
// PyTorch (for the original ResNet34-UNet: and segmentation_models_pytorch) is found; UNET_PYTHON names one to try
// first.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "engine/train/checkpoint.h"
#include "models/registry.h"
#include "tests/models/unet_support.h"
#include "tests/support/places.h"
#include "tests/support/python.h"

namespace unet::test::unet_exchange_test {
namespace {

/// [N,H,W,C] -> [N,C,H,W].
std::vector<float> channels_first(const Tensor& x) {
  const Shape& s = x.shape();
  const std::vector<float> in = x.values<float>();
  std::vector<float> out(in.size());
  const std::int64_t pixels = s[1] * s[2], C = s[3];
  for (std::int64_t n = 0; n < s[0]; ++n) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      for (std::int64_t c = 0; c < C; ++c) {
        out[static_cast<std::size_t>((n * C + c) * pixels + p)] =
            in[static_cast<std::size_t>((n * pixels + p) * C + c)];
      }
    }
  }
  return out;
}

struct Network {
  const char* name;
  models::SegmenterSpec spec;
  const char* flag;  // of strict_reader.py
  const char* modules = "torch, numpy";
};
void PrintTo(const Network& network, std::ostream* out) { *out << network.name; }

class UNetExchange : public testing::TestWithParam<Network> {
 protected:
  void SetUp() override {
    python_ = tests::python_with(GetParam().modules);
    if (python_.empty()) GTEST_SKIP() << "no Python with " << GetParam().modules;
    std::string pattern = (std::filesystem::temp_directory_path() / "unet_exchange_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  std::string checkpoint() const { return (folder_ / "model.safetensors").string(); }
  std::string exchange() const { return (folder_ / "exchange.safetensors").string(); }
  /// Exit status of strict_reader.py.
  int strict_reader(const std::string& mode, const std::string& flags) const {
    return std::system(fmt::format("'{}' -B '{}' {} '{}' '{}' {}", python_,
                                   places::source("tests/models/strict_reader.py"), mode, checkpoint(), exchange(),
                                   flags)
                           .c_str());
  }
  int reader() const { return strict_reader("read", std::string_view(GetParam().flag) == "--smp" ? "--smp" : ""); }
  static std::unique_ptr<models::Segmenter> made(std::uint64_t seed) {
    return models::make_segmenter(models::registry(), GetParam().spec, seed, {});
  }

 private:
  std::filesystem::path folder_;
  std::string python_;
};
INSTANTIATE_TEST_SUITE_P(
    , UNetExchange,
    testing::Values(
        Network{"transposed", {.classes = 3, .base_channels = 4}, ""},
        Network{"bilinear", {.classes = 3, .base_channels = 4, .bilinear = true}, "--bilinear"},
        Network{"resnet34", {.classes = 3, .base_channels = 4, .model = "resnet34_unet"}, "--resnet34"},
        Network{"smp", {.classes = 3, .model = "resnet34_unet"}, "--smp", "torch, numpy, segmentation_models_pytorch"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_P(UNetExchange, PyTorchLoadsOurCheckpoint) {
  const std::unique_ptr<models::Segmenter> segmenter = made(3);
  models::Segmenter& model = *segmenter;
  Adam adam(model.parameters(), {});
  const Tensor images = random_images({2, 64, 32, 3}, Dtype::f32, 1);
  const Tensor labels = random_labels(2, 64, 32, 3, 2);
  for (int step = 0; step < 20; ++step) {  // moves every weight and statistic off its beginning
    ASSERT_TRUE(train_step(model, adam, Loss::cross_entropy, images, labels, 1e-3).committed);
  }
  Tape tape(Tape::Mode::inference);
  const Tensor logits = model.forward(tape, tape.input(images)).value;
  save_model(checkpoint(), model.parameters(), {{"program", "test"}});
  const std::vector<float> x = channels_first(images), y = channels_first(logits);
  write_safetensors(exchange(), {},
                    {{"images", SafeDtype::kF32, {2, 3, 64, 32}, x.data(), {}},
                     {"logits", SafeDtype::kF32, {2, 3, 64, 32}, y.data(), {}}});
  EXPECT_EQ(reader(), 0);

  // The script can say no: the logits of another model.
  std::vector<float> wrong = y;
  wrong[100] += 1e-3f;
  write_safetensors(exchange(), {},
                    {{"images", SafeDtype::kF32, {2, 3, 64, 32}, x.data(), {}},
                     {"logits", SafeDtype::kF32, {2, 3, 64, 32}, wrong.data(), {}}});
  EXPECT_NE(reader(), 0);
}

TEST_P(UNetExchange, WeLoadPyTorchsCheckpoint) {
  ASSERT_EQ(strict_reader("write", fmt::format("--base 4 --classes 3 {}", GetParam().flag)), 0);
  const std::unique_ptr<models::Segmenter> segmenter = made(99);
  models::Segmenter& model = *segmenter;
  load_model(SafetensorsFile(checkpoint()), model.parameters());
  for (const Parameters::Stats& stats : model.parameters().stats()) EXPECT_EQ(stats.batches_tracked, 3) << stats.name;
  const Record record(exchange());
  Tape tape(Tape::Mode::inference);
  const Tensor images = Tensor::of({2, 64, 32, 3}, Dtype::f32, record.values("images"));
  const std::vector<double> logits = model.forward(tape, tape.input(images)).value.values<double>();
  const std::vector<double> expected = record.values("logits");
  ASSERT_EQ(logits.size(), expected.size());
  double difference = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    ASSERT_TRUE(std::isfinite(logits[i]));
    difference = std::max(difference, std::abs(logits[i] - expected[i]));
  }
  std::printf("largest difference %.2g\n", difference);
  EXPECT_LE(difference, 1e-4);
}

}  // namespace
}  // namespace unet::test::unet_exchange_test
