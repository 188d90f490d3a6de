// From given weights, in given order, on PNGs of exactly the image size, train_unet's losses are PyTorch's: from the
// file to the step through decoding, normalisation, network, loss and Adam. Against a record, and against PyTorch
// itself where python3 has it.
//
// To record anew, with PyTorch:  UNET_RECORD=1 test_programs --gtest_filter=TorchLosses.*
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/core/rng.h"
#include "engine/io/csv.h"
#include "engine/train/checkpoint.h"
#include "models/unet.h"
#include "tests/apps/small_data.h"
#include "tests/support/places.h"

namespace unet::test::torch_losses_test {
namespace {

constexpr int kHeight = 48, kWidth = 64, kImages = 10, kSteps = 20;  // batches of 4, 4 and 2
constexpr double kTolerance = 1e-4;  // relative; measured 3e-6 (cross-entropy) and 1.3e-5 (Dice), float64 below 2e-7

const fs::path kRecord = places::source("tests/apps/torch_losses.json");

class TorchLosses : public testing::Test {
 protected:
  TorchLosses() {
    write_small_pairs(data_, kImages, 1, kHeight, kWidth);
    for (const std::string& name : names_in(data_ / "masks")) {  // a rim that is ignored
      Image mask = load_mask(data_ / "masks" / name);
      std::fill_n(mask.pixels.begin(), 2 * kWidth, std::uint8_t{255});
      write_bytes(data_ / "masks" / name, encode_png(mask));
    }
    write_weights();
  }

  /// Weights by a formula that needs no library: uniform within 1/sqrt(fan-in) as PyTorch begins, batch norms and
  /// biases a little off their usual 1 and 0, so that each of them matters.
  void write_weights() const {
    models::SegmenterSpec spec;
    spec.base_channels = 4;
    const models::UNet model(spec);
    const fs::path shapes = folder_ / "shapes.safetensors";
    save_model(shapes, model.parameters(), {});
    const SafetensorsFile file(shapes);
    std::vector<SafetensorsEntry> entries;
    std::vector<std::vector<float>> values;
    const std::int64_t none = 0;
    for (std::size_t i = 0; i < file.tensors().size(); ++i) {
      const TensorInfo& info = file.tensors()[i];
      const bool running = info.name.find("running_") != std::string::npos;
      const bool around_one =
          info.name.ends_with("running_var") || (info.shape.size() == 1 && info.name.ends_with(".weight"));
      double range = running ? 0 : 0.1;
      if (info.shape.size() == 4) {
        range = 1 / std::sqrt(static_cast<double>(info.shape[1] * info.shape[2] * info.shape[3]));
      }
      std::vector<float>& v = values.emplace_back(info.dtype == SafeDtype::kF32 ? info.elements() : 0);
      for (std::size_t k = 0; k < v.size(); ++k) {
        const double u = random_uniform(3, Purpose::test, i, k);
        v[k] = static_cast<float>((around_one ? 1 : 0) + range * (2 * u - 1));
      }
      entries.push_back(
          {info.name, info.dtype, info.shape, v.empty() ? static_cast<const void*>(&none) : v.data(), {}});
    }
    write_safetensors(weights_, {}, entries);
  }

  /// Pixels, labels and weights: what a record is relative to.
  std::string fingerprint() const {
    std::uint32_t crc = 0;
    const auto add = [&](const std::vector<std::uint8_t>& bytes) { crc = crc32(bytes.data(), bytes.size(), crc); };
    for (const std::string& name : names_in(data_ / "images")) {
      add(load_image(data_ / "images" / name).pixels);
      add(load_mask(data_ / "masks" / name).pixels);
    }
    for (const auto& [name, bytes] : tensors_of(weights_)) add({bytes.begin(), bytes.end()});
    return fmt::format("{:08x}", crc);
  }

  /// steps.csv of train_unet.
  std::vector<double> ours(const std::string& loss) const {
    const fs::path out = folder_ / loss;
    const ProgramResult result = train_unet({"-d",
                                             data_.string(),
                                             "-o",
                                             out.string(),
                                             "--init",
                                             weights_.string(),
                                             "--normalization",
                                             "imagenet",
                                             "--base-channels",
                                             "4",
                                             "--image-size",
                                             fmt::format("{}x{}", kHeight, kWidth),
                                             "-b",
                                             "4",
                                             "-e",
                                             "10",
                                             "--max-steps",
                                             std::to_string(kSteps),
                                             "--lr",
                                             "1e-4",
                                             "--schedule",
                                             "constant",
                                             "--no-shuffle",
                                             "--augment",
                                             "none",
                                             "--phase2-epochs",
                                             "0",
                                             "--phase1-loss",
                                             loss,
                                             "--threads",
                                             "1"});
    EXPECT_EQ(result.code, 0) << result.err;
    const CsvTable steps = read_csv(out / "steps.csv");
    std::vector<double> losses;
    for (const auto& row : steps.rows) losses.push_back(std::stod(row[steps.column("loss")]));
    return losses;
  }

  void expect_same_losses(const nlohmann::json& torch) const {
    for (const char* loss : {"cross_entropy", "dice"}) {
      const std::vector<double> a = ours(loss);
      for (const char* precision : {"float32", "float64"}) {
        const auto b = torch.at(loss).at(precision).get<std::vector<double>>();
        ASSERT_EQ(a.size(), static_cast<std::size_t>(kSteps));
        ASSERT_EQ(b.size(), a.size());
        double worst = 0;
        for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
        EXPECT_LE(worst, kTolerance) << loss << " in " << precision;
        RecordProperty(fmt::format("{}_{}", loss, precision), fmt::format("{:.2e}", worst));
        EXPECT_LT(b.back(), 0.99 * b.front()) << "nothing was learnt: the comparison says little";
      }
    }
  }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", weights_ = folder_ / "weights.safetensors";
};

TEST_F(TorchLosses, OfTheRecord) {
  const nlohmann::json record = nlohmann::json::parse(text_of(kRecord));
  ASSERT_EQ(record["fingerprint"], fingerprint()) << "the data are no longer those of the record";
  expect_same_losses(record);
}

TEST_F(TorchLosses, OfPyTorchHere) {
  std::string python;
  for (const char* candidate : {"python3", "/usr/bin/python3"}) {
    const std::string has_all =
        " -c 'import sys; from importlib.util import find_spec as f; sys.exit(not (f(\"torch\") and f(\"PIL\")))'";
    if (python.empty() && run({"sh", "-c", candidate + has_all}).code == 0) python = candidate;
  }
  if (python.empty()) GTEST_SKIP() << "python3 has no torch and PIL";
  const ProgramResult result = run({python, places::source("tests/apps/torch_losses.py"), data_.string(),
                                    weights_.string(), "4", std::to_string(kSteps), "1e-4"});
  ASSERT_EQ(result.code, 0) << result.err;
  nlohmann::ordered_json torch = nlohmann::ordered_json::parse(result.out);
  if (std::getenv("UNET_RECORD") != nullptr) {
    torch["fingerprint"] = fingerprint();
    write_text(kRecord, torch.dump(1) + "\n");
  }
  expect_same_losses(torch);
}

}  // namespace
}  // namespace unet::test::torch_losses_test
