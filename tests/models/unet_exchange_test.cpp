// Checkpoints travel to PyTorch and back (strict_reader.py). Skipped, and counted as skipped, where no Python with
// PyTorch is found.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "engine/train/checkpoint.h"
#include "tests/models/unet_support.h"
#include "tests/support/places.h"

namespace unet::test {
namespace {

/// The first interpreter that imports torch and numpy; empty if there is none.
const std::string& python() {
  static const std::string found = [] {
    for (const std::string candidate : {"python3", "/usr/bin/python3"}) {
      if (std::system((candidate + " -c 'import torch, numpy' >/dev/null 2>&1").c_str()) == 0) return candidate;
    }
    return std::string();
  }();
  return found;
}

/// Exit status of strict_reader.py.
int strict_reader(const std::string& arguments) {
  return std::system((python() + " -B '" + places::source("tests/models/strict_reader.py") + "' " + arguments).c_str());
}

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

class UNetExchange : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (python().empty()) GTEST_SKIP() << "no Python with torch and numpy";
    std::string pattern = (std::filesystem::temp_directory_path() / "unet_exchange_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  std::string checkpoint() const { return (folder_ / "model.safetensors").string(); }
  std::string exchange() const { return (folder_ / "exchange.safetensors").string(); }
  std::string paths() const { return "'" + checkpoint() + "' '" + exchange() + "'"; }
  models::SegmenterSpec spec() const { return {3, 3, 4, GetParam()}; }

 private:
  std::filesystem::path folder_;
};
INSTANTIATE_TEST_SUITE_P(, UNetExchange, testing::Bool(),
                         [](const auto& param_info) { return param_info.param ? "bilinear" : "transposed"; });

TEST_P(UNetExchange, PyTorchLoadsOurCheckpoint) {
  models::UNet model(spec(), 3);
  Adam adam(model.parameters(), {});
  const Tensor images = random_images({2, 48, 32, 3}, Dtype::f32, 1);
  const Tensor labels = random_labels(2, 48, 32, 3, 2);
  for (int step = 0; step < 5; ++step) {  // moves every weight and statistic off its beginning
    ASSERT_TRUE(train_step(model, adam, Loss::cross_entropy, images, labels, 1e-2).committed);
  }
  Tape tape(Tape::Mode::inference);
  const Tensor logits = model.forward(tape, tape.input(images)).value;
  save_model(checkpoint(), model.parameters(), {{"program", "test"}});
  const std::vector<float> x = channels_first(images), y = channels_first(logits);
  write_safetensors(exchange(), {},
                    {{"images", SafeDtype::kF32, {2, 3, 48, 32}, x.data(), {}},
                     {"logits", SafeDtype::kF32, {2, 3, 48, 32}, y.data(), {}}});
  EXPECT_EQ(strict_reader("read " + paths()), 0);

  // The script can say no: the logits of another model.
  std::vector<float> wrong = y;
  wrong[100] += 1e-3f;
  write_safetensors(exchange(), {},
                    {{"images", SafeDtype::kF32, {2, 3, 48, 32}, x.data(), {}},
                     {"logits", SafeDtype::kF32, {2, 3, 48, 32}, wrong.data(), {}}});
  EXPECT_NE(strict_reader("read " + paths()), 0);
}

TEST_P(UNetExchange, WeLoadPyTorchsCheckpoint) {
  ASSERT_EQ(strict_reader(fmt::format("write {} --base 4 --classes 3{}", paths(), GetParam() ? " --bilinear" : "")), 0);
  models::UNet model(spec(), 99);
  load_model(SafetensorsFile(checkpoint()), model.parameters());
  for (const Parameters::Stats& stats : model.parameters().stats()) EXPECT_EQ(stats.batches_tracked, 3) << stats.name;
  const Record record(exchange());
  Tape tape(Tape::Mode::inference);
  const Tensor images = Tensor::of({2, 48, 32, 3}, Dtype::f32, record.values("images"));
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
}  // namespace unet::test
