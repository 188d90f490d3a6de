// The programs with --device cuda, on the stand-in for a GPU: the same figures as on the CPU, the same promises.
#include <fmt/core.h>

#include <chrono>
#include <sstream>

#include "tests/apps/small_data.h"

namespace unet::test::cuda_test {
namespace {

/// Numbers of one column of a CSV file.
std::vector<double> column(const fs::path& path, const std::string& name) {
  std::vector<double> out;
  std::size_t at = 0;
  for (const std::string& line : lines_of(text_of(path))) {
    std::vector<std::string> cells;
    std::istringstream text(line);
    for (std::string cell; std::getline(text, cell, ',');) cells.push_back(cell);
    if (out.empty() && at == 0 && cells[0] != "" && !std::isdigit(static_cast<unsigned char>(cells[0][0]))) {
      at = static_cast<std::size_t>(std::find(cells.begin(), cells.end(), name) - cells.begin());
      EXPECT_LT(at, cells.size()) << name;
      continue;
    }
    out.push_back(std::stod(cells.at(at)));
  }
  return out;
}

class CudaPrograms : public testing::Test {
 protected:
  CudaPrograms() { write_small_pairs(data_, 6, 2, 32, 32); }
  ProgramResult train(const std::string& which, const fs::path& output, const Words& words) const {
    Words all{program(which)};
    return run(all + small_run(data_, output, Words{"-e", "2", "-b", "2"} + words));
  }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", there_ = folder_ / "there", here_ = folder_ / "here";
};

TEST_F(CudaPrograms, TrainEvaluateAndPredict) {
  const ProgramResult cuda =
      train("train_unet_on_shim", there_, {"--device", "cuda", "--precision", "fp32", "--no-autotune"});
  ASSERT_EQ(cuda.code, 0) << cuda.err;
  EXPECT_NE(cuda.out.find("device: cuda ("), std::string::npos) << cuda.out;
  const ProgramResult cpu = train("train_unet", here_, {"--device", "cpu"});
  ASSERT_EQ(cpu.code, 0) << cpu.err;
  const auto losses = column(there_ / "steps.csv", "loss"), expected = column(here_ / "steps.csv", "loss");
  ASSERT_EQ(losses.size(), expected.size());
  ASSERT_EQ(losses.size(), 9u) << "3 steps an epoch, 2 + 1 epochs";
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 2e-3 * expected[i]) << i;

  const fs::path best = there_ / "best.safetensors";
  const auto evaluated = [&](const std::string& which, const std::string& device) {
    const fs::path json = folder_ / (which + ".json");
    const ProgramResult result =
        run({program(which), "-c", best.string(), "-d", data_.string(), "--split", "val", "--device", device,
             "--precision", "fp32", "--no-autotune", "--json", json.string()});
    EXPECT_EQ(result.code, 0) << result.err;
    return text_of(json);
  };
  const std::string a = evaluated("eval_unet_on_shim", "cuda"), b = evaluated("eval_unet", "cpu");
  EXPECT_EQ(a.substr(a.find("\"dice\""), 16), b.substr(b.find("\"dice\""), 16));

  const auto predicted = [&](const std::string& which, const std::string& device) {
    const fs::path out = folder_ / which;
    const ProgramResult result = run({program(which), "-c", best.string(), (data_ / "images" / "t000.png").string(),
                                      "-o", out.string(), "--device", device, "--precision", "fp32", "--no-autotune"});
    EXPECT_EQ(result.code, 0) << result.err;
    return text_of(out / "t000_mask.png");
  };
  EXPECT_EQ(predicted("predict_unet_on_shim", "cuda"), predicted("predict_unet", "cpu"));
}

TEST_F(CudaPrograms, ASumOfLossesWithClassWeightsIsTheCpus) {
  const Words sum{"--phase1-loss",   "cross_entropy(smoothing=0.1) + 0.5 dice",
                  "--phase2-loss",   "focal + dice_batch",
                  "--class-weights", "inverse"};
  const ProgramResult cuda =
      train("train_unet_on_shim", there_, sum + Words{"--device", "cuda", "--precision", "fp32", "--no-autotune"});
  ASSERT_EQ(cuda.code, 0) << cuda.err;
  const ProgramResult cpu = train("train_unet", here_, sum + Words{"--device", "cpu"});
  ASSERT_EQ(cpu.code, 0) << cpu.err;
  for (const auto& [file, name] : {std::pair{"steps.csv", "loss"}, {"metrics.csv", "val_loss"}}) {
    const auto losses = column(there_ / file, name), expected = column(here_ / file, name);
    ASSERT_EQ(losses.size(), expected.size());
    for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 2e-3 * expected[i]) << i;
  }
}

TEST_F(CudaPrograms, SgdWithAnAverageOfTheWeightsIsTheCpus) {
  const Words recipe{"--optimizer", "sgd",   "--nesterov", "--momentum", "0.8", "--weight-decay", "0.1", "--lr",
                     "0.05",        "--ema", "0.75",       "--schedule", "poly"};
  const ProgramResult cuda =
      train("train_unet_on_shim", there_, recipe + Words{"--device", "cuda", "--precision", "fp32", "--no-autotune"});
  ASSERT_EQ(cuda.code, 0) << cuda.err;
  const ProgramResult cpu = train("train_unet", here_, recipe + Words{"--device", "cpu"});
  ASSERT_EQ(cpu.code, 0) << cpu.err;
  for (const auto& [file, name] : {std::pair{"steps.csv", "loss"}, {"metrics.csv", "val_loss"}}) {
    const auto losses = column(there_ / file, name), expected = column(here_ / file, name);
    ASSERT_EQ(losses.size(), expected.size());
    for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 2e-3 * expected[i]) << i;
  }
}

TEST_F(CudaPrograms, ThePrecisionIsTheDevicesUnlessItIsAskedFor) {
  const auto expect_auto = [&](const std::string& which, const std::string& device, const std::string& major,
                               const std::string& said, const std::string& recorded) {
    const fs::path output = folder_ / (device + major);
    const Words words = small_run(data_, output, {"-e", "1", "-b", "2", "--phase2-epochs", "0", "--device", device});
    const Words settings{"UNET_SHIM_COMPUTE_MAJOR=" + major};
    const ProgramResult result = run(Words{program(which)} + words, settings);
    ASSERT_EQ(result.code, 0) << result.err;
    expect_parts(result.out, {"device: " + device, ", " + said});
    expect_parts(text_of(output / "run.json"), {"\"precision\": \"" + recorded + "\""});
    EXPECT_EQ(run(Words{program(which)} + words + Words{"--resume", "--precision", recorded}, settings).code, 0)
        << "what was resolved is what is resumed";
    const std::string other = recorded == "fp32" ? "bf16" : "fp32";
    const ProgramResult refused =
        run(Words{program(which)} + words + Words{"--resume", "--precision", other}, settings);
    EXPECT_EQ(refused.code, 1);
    expect_parts(refused.err, {"precision", recorded, other});
  };
  expect_auto("train_unet", "cpu", "9", "fp32 (auto, on a CPU), convolutions by rule (auto, on a CPU)\n", "fp32");
  expect_auto("train_unet_on_shim", "cuda", "8", "bf16 (auto: this GPU multiplies it", "bf16");
  expect_auto("train_unet_on_shim", "cuda", "7", "tf32 (auto: this GPU does not multiply bf16", "tf32");
}

TEST_F(CudaPrograms, StoppedAndResumedEndsAsTheRunLeftAlone) {
  const Words recipe{"--optimizer", "sgd", "--ema", "0.75"};
  for (const auto& [precision, more] : {std::pair{"fp32", Words{}}, {"bf16", Words{}}, {"bf16", recipe}}) {
    const fs::path alone = folder_ / fmt::format("alone_{}{}", precision, more.size()),
                   output = folder_ / fmt::format("{}{}", precision, more.size());
    const Words words = more + Words{"--device", "cuda", "--precision", precision, "--save-every", "0"};
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(train("train_unet_on_shim", alone, words).code, 0);
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - begin;
    int stops = 0;
    Words resume;
    for (int attempt = 0; attempt < 30; ++attempt) {
      const std::string seconds = fmt::format("{:.3f}", whole.count() * (0.2 + 0.001 * (attempt * 37 % 300)));
      const ProgramResult result =
          run(Words{"timeout", "--preserve-status", "-s", "TERM", seconds, program("train_unet_on_shim")} +
              small_run(data_, output, Words{"-e", "2", "-b", "2"} + words + resume));
      if (result.code == 0) break;
      ASSERT_EQ(result.code, 143) << result.err;
      if (fs::exists(output / "last.safetensors")) {
        resume = {"--resume", "auto"};
        ++stops;
      }
    }
    EXPECT_GT(stops, 0);
    EXPECT_EQ(text_of(output / "steps.csv"), text_of(alone / "steps.csv"));
    EXPECT_TRUE(tensors_of(output / "last.safetensors") == tensors_of(alone / "last.safetensors"));
  }
}

}  // namespace
}  // namespace unet::test::cuda_test
