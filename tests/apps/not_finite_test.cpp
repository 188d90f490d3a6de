// NaN and Inf never reach a checkpoint: refused where they come from outside, dropped with the step where they arise,
// and after ten such steps in a row the run ends and says where they were first seen.
#include <cmath>
#include <limits>

#include "engine/io/safetensors.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::not_finite_test {
namespace {

class NotFiniteRun : public TinyTraining {
 protected:
  /// A copy of a checkpoint with one value replaced.
  fs::path with_value(const fs::path& from, const std::string& tensor, std::size_t element, float value) const {
    const SafetensorsFile file(from);
    std::vector<SafetensorsEntry> entries;
    std::vector<std::vector<char>> bytes;
    for (const TensorInfo& info : file.tensors()) {
      file.read(info, bytes.emplace_back(info.bytes()).data());
      if (info.name == tensor) std::memcpy(bytes.back().data() + element * sizeof value, &value, sizeof value);
      entries.push_back({info.name, info.dtype, info.shape, bytes.back().data(), {}});
    }
    const fs::path to = folder_ / "changed.safetensors";
    std::map<std::string, std::string> metadata = file.metadata();
    metadata.erase("checksum." + tensor);  // changed on purpose
    write_safetensors(to, metadata, entries);
    return to;
  }
  /// No float of any checkpoint in the folder is NaN or Inf.
  static void expect_finite_checkpoints(const fs::path& output) {
    int checkpoints = 0;
    for (const std::string& name : names_in(output)) {
      if (!name.ends_with(".safetensors")) continue;
      ++checkpoints;
      const SafetensorsFile file(output / name);
      for (const TensorInfo& info : file.tensors()) {
        if (info.dtype != SafeDtype::kF32) continue;
        std::vector<float> values(info.elements());
        file.read(info, values.data());
        for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << name << ": " << info.name;
      }
    }
    EXPECT_GT(checkpoints, 0);
  }
};

TEST_F(NotFiniteRun, AWeightFromOutsideIsRefusedBeforeTheFirstStep) {
  const fs::path best = alone() / "best.safetensors";
  const fs::path output = folder_ / "run";
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const auto& [tensor, value, says] :
       {std::tuple<std::string, float, std::string>{"down1.maxpool_conv.1.double_conv.0.weight", nan, "nan"},
        {"outc.conv.bias", inf, "inf"},
        {"inc.double_conv.1.running_mean", -inf, "-inf"},
        {"inc.double_conv.1.running_var", -1.0f, "-1"}}) {
    const fs::path changed = with_value(best, tensor, 1, value);
    const ProgramResult result = run(command(output, {"--init", changed.string()}));
    EXPECT_EQ(result.code, 1);
    expect_parts(result.err, {changed.string(), "\"" + tensor + "\" holds " + says + " at element 1"});
    EXPECT_FALSE(fs::exists(output));
    const ProgramResult eval = eval_unet({"-c", changed.string(), "-d", data_.string()});
    EXPECT_EQ(eval.code, 1);
    expect_parts(eval.err, {changed.string(), tensor});
  }
}

TEST_F(NotFiniteRun, AMomentFromOutsideIsRefusedAndNothingIsCut) {
  const fs::path output = alone();
  const std::string steps = text_of(output / "steps.csv");
  for (const auto& [tensor, value] :
       {std::pair<std::string, float>{"state.adam_m", std::numeric_limits<float>::quiet_NaN()},
        {"state.adam_v", -1e-6f},
        {"inc.double_conv.0.weight", std::numeric_limits<float>::infinity()}}) {
    // Of an earlier state: were it taken, rows would be cut off.
    fs::copy_file(with_value(output / "last.prev.safetensors", tensor, 2, value), output / "other.safetensors",
                  fs::copy_options::overwrite_existing);
    const ProgramResult result = run(command(output, {"--resume", (output / "other.safetensors").string()}));
    EXPECT_EQ(result.code, 1);
    expect_parts(result.err, {"other.safetensors", tensor, "at element 2", "nothing was loaded"});
    EXPECT_EQ(text_of(output / "steps.csv"), steps);
  }
}

TEST_F(NotFiniteRun, ALearningRateOf1e30EndsTheRunAfterTenSteps) {
  const fs::path output = folder_ / "run";
  const ProgramResult result = run(command(output, {"--lr", "1e30"}));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"step 1 is dropped: the learning rate is 1e+30", "10 steps in a row were not finite",
                            "--lr", "the best file"});
  EXPECT_EQ(lines_of(text_of(output / "steps.csv")).size(), 11u);
  expect_finite_checkpoints(output);
}

TEST_F(NotFiniteRun, ARunWithoutACommittedStepHasLearntNothing) {
  const fs::path first = alone({"--phase2-epochs", "0"});
  const Words hopeless{"--lr", "1e30", "-e", "1", "--phase2-epochs", "0", "--max-steps", "1"};
  const fs::path output = folder_ / "run";
  for (const Words& more : {Words{}, Words{"--resume", "auto"}}) {
    const ProgramResult result = run(command(output, hopeless + more));
    EXPECT_EQ(result.code, 1) << result.out;
    expect_parts(result.err, {"phase 1 ended without a step that was committed: nothing was learnt", "--lr"});
  }
  // In place of another run: that one is back, after a signal too.
  const std::vector<std::string> names = names_in(first);
  const auto state = tensors_of(first / "last.safetensors");
  const ProgramResult replacing = run(command(first, hopeless + Words{"--overwrite"}));
  EXPECT_EQ(replacing.code, 1);
  expect_parts(replacing.err, {"nothing was learnt", "is back"});
  const ProgramResult stopped =
      run_into({"signal 15", "write", "steps.csv", 2}, command(first, {"--lr", "1e30", "--overwrite"}), folder_.path());
  EXPECT_EQ(stopped.code, 143);
  expect_parts(stopped.err, {"is back", "stopped by signal 15; no step of it was committed"});
  EXPECT_EQ(names_in(first), names);
  EXPECT_TRUE(tensors_of(first / "last.safetensors") == state);
}

TEST_F(NotFiniteRun, WeightsThatOverflowEndTheRunNamingTheFirstLayer) {
  // Finite, so they may be loaded; their products are not.
  const fs::path& first = alone({"--phase2-epochs", "0"});
  const fs::path changed =
      with_value(first / "best.safetensors", "down1.maxpool_conv.1.double_conv.0.weight", 0, 3e38f);
  const fs::path output = folder_ / "run";
  const ProgramResult result = run(command(output, {"--init", changed.string()}));
  EXPECT_EQ(result.code, 1) << result.out;
  expect_parts(result.err, {"step 1 is dropped", "10 steps in a row were not finite",
                            "the first layer with values that are not finite is "
                            "\"down1.maxpool_conv.1.double_conv.1\""});
  expect_finite_checkpoints(output);
  const std::vector<std::string> steps = lines_of(text_of(output / "steps.csv"));
  EXPECT_EQ(steps.size(), 11u);
  // A resume finds the same again.
  const ProgramResult resumed = run(command(output, {"--init", changed.string(), "--resume", "auto"}));
  EXPECT_EQ(resumed.code, 1);
  expect_parts(resumed.err, {"10 steps in a row were not finite"});
  EXPECT_EQ(lines_of(text_of(output / "steps.csv")), steps);
}

TEST_F(NotFiniteRun, WeightsThatOverflowAreRefusedByEvaluationAndPrediction) {
  const fs::path& best = alone({"--phase2-epochs", "0"}) / "best.safetensors";
  const std::string photo = (data_ / "images" / "p000.png").string();
  for (const auto& [tensor, value, layer] :
       {std::tuple{"inc.double_conv.0.weight", 3e38f, "inc.double_conv.1"},
        {"down1.maxpool_conv.1.double_conv.0.weight", 1e30f, "down1.maxpool_conv.1.double_conv.1"},
        {"down1.maxpool_conv.1.double_conv.1.weight", -1e38f, "down1.maxpool_conv.1.double_conv.1"},
        {"up4.up.bias", 3e38f, "up4.up"},
        {"outc.conv.weight", 3e38f, "outc.conv"}}) {
    const fs::path changed = with_value(best, tensor, 0, value);
    for (const ProgramResult& result :
         {eval_unet({"-c", changed.string(), "-d", data_.string()}),
          predict_unet({"-c", changed.string(), "-o", (folder_ / "masks").string(), photo})}) {
      EXPECT_EQ(result.code, 1) << tensor << result.out;
      expect_parts(result.err, {changed.string(), "p0",
                                "the first layer with values that are not finite, or beyond 1e+15, is \"" +
                                    std::string(layer) + "\""});
      EXPECT_EQ(result.out.find("foreground"), std::string::npos);
    }
    EXPECT_TRUE(!fs::exists(folder_ / "masks") || names_in(folder_ / "masks").empty());
  }
}

TEST_F(NotFiniteRun, TheBestFileOfAnEarlierEpochIsUntouched) {
  // The warm-up climbs to 1e4, above which steps are dropped, in the second epoch.
  const fs::path output = folder_ / "run";
  const Words options{"--lr", "4e4", "--warmup", "24", "--schedule", "constant", "-e", "4", "--keep", "all"};
  const ProgramResult result = run(command(output, options));
  EXPECT_EQ(result.code, 1) << result.out;
  expect_parts(result.err, {"10 steps in a row were not finite"});
  expect_finite_checkpoints(output);
  ASSERT_TRUE(fs::exists(output / "best.safetensors"));
  bool found = false;
  for (const std::string& name : names_in(output)) {
    if (name.find("_phase1_epoch001_") == std::string::npos) continue;
    found = true;
    EXPECT_TRUE(text_of(output / name) == text_of(output / "best.safetensors"));
  }
  EXPECT_TRUE(found);
}

TEST_F(NotFiniteRun, AWeightDecayThatOvershootsIsRefused) {
  const ProgramResult result = run(command(folder_ / "run", {"--weight-decay", "1e30"}));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"--weight-decay 1e+30", "0.01", "above 1"});
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

}  // namespace
}  // namespace unet::test::not_finite_test
