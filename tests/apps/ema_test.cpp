// --ema: what is validated, saved and chosen is an average of the weights; the training itself does not know of it.
#include <cmath>

#include "engine/io/csv.h"
#include "tests/apps/tiny_training.h"
#include "tests/support/tensor_file.h"

namespace unet::test::ema_test {
namespace {

const Words kEma{"--ema", "0.75"};

std::vector<std::string> column_of(const fs::path& path, const std::string& name) {
  const CsvTable table = read_csv(path);
  std::vector<std::string> out;
  for (const auto& row : table.rows) out.push_back(row[table.column(name)]);
  return out;
}

/// Whether two files hold the same model: all tensors but those of the state.
bool same_model(const fs::path& a, const fs::path& b) {
  const auto model_of = [](const fs::path& path) {
    auto tensors = tensors_of(path);
    std::erase_if(tensors, [](const auto& named) { return named.first.starts_with("state."); });
    return tensors;
  };
  return model_of(a) == model_of(b);
}

class Ema : public TinyTraining {
 protected:
  /// What is trained after so many steps: a run without an average that ends there.
  TensorFile trained_after(int steps) {
    return TensorFile(alone({"--max-steps", std::to_string(steps), "-e", "3"}) / "last.safetensors");
  }
};

TEST_F(Ema, IsTheAverageOfWhatTheStepsLeft) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run(command(output, kEma + Words{"--max-steps", "4"})).code, 0);
  std::map<std::string, std::vector<double>> expected;
  for (int step = 1; step <= 4; ++step) {
    for (const auto& [name, tensor] : trained_after(step).tensors) {
      if (name.starts_with("state.") || tensor.dtype != SafeDtype::kF32) continue;
      const std::vector<float> now = tensor.floats();
      std::vector<double>& average = expected[name];
      if (step == 1) average.assign(now.begin(), now.end());
      for (std::size_t i = 0; i < now.size(); ++i) average[i] = 0.75 * average[i] + 0.25 * static_cast<double>(now[i]);
    }
  }
  const TensorFile best(output / "best.safetensors"), last(output / "last.safetensors");
  int seen = 0, other = 0;
  for (const auto& [name, tensor] : best.tensors) {
    if (tensor.dtype != SafeDtype::kF32) {
      EXPECT_TRUE(tensor.bytes == trained_after(4).tensors.at(name).bytes) << "a count is the network's own: " << name;
      continue;
    }
    const std::vector<float> values = tensor.floats(), trained = trained_after(4).tensors.at(name).floats();
    ASSERT_EQ(values.size(), expected.at(name).size());
    double largest = 0;
    for (const double value : expected[name]) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[name][i], 1e-6 * largest) << name;
    ++seen;
    other += values != trained;
  }
  EXPECT_GT(seen, 80);
  EXPECT_GT(other, 70) << "what is trained is something else";
  EXPECT_TRUE(same_model(output / "best.safetensors", output / "last.safetensors"));
  EXPECT_TRUE(last.tensors.contains("state.trained_values") && last.tensors.contains("state.trained_running"));
}

TEST_F(Ema, IsWhatIsValidatedWhileTheStepsAreThoseWithoutIt) {
  const fs::path& output = alone(kEma);
  const std::string steps = text_of(output / "steps.csv"), without = text_of(alone() / "steps.csv");
  const std::size_t phase_1 = steps.find("\n2,");
  EXPECT_EQ(steps.substr(0, phase_1), without.substr(0, phase_1));
  EXPECT_NE(steps, without) << "phase 2 begins from another best";
  EXPECT_NE(column_of(output / "metrics.csv", "val_loss"), column_of(alone() / "metrics.csv", "val_loss"));
  const fs::path json = folder_ / "eval.json";
  const ProgramResult evaluated =
      run({program("eval_unet"), "-c", (output / "best_phase2.safetensors").string(), "-d", data_.string(), "--split",
           "val", "--threads", "1", "--image-size", "32", "--json", json.string()});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  const auto phases = column_of(output / "metrics.csv", "phase"), dice = column_of(output / "metrics.csv", "val_dice");
  double best = 0;
  for (std::size_t i = 0; i < dice.size(); ++i) best = std::max(best, phases[i] == "2" ? std::stod(dice[i]) : 0);
  expect_parts(text_of(json), {fmt::format("\"dice\": {:.6}", best)});
}

TEST_F(Ema, APhaseBeginsWithTheAverageOfTheBestEpoch) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run_into({"signal 9", "write", "steps.csv", 17}, command(output, kEma), folder_.path()).code, 137);
  EXPECT_TRUE(same_model(output / "last.safetensors", output / "best_phase1.safetensors"));
  const TensorFile last(output / "last.safetensors"), before(output / "last.prev.safetensors");
  EXPECT_FALSE(last.tensors.at("state.trained_values").bytes == before.tensors.at("state.trained_values").bytes)
      << "and trains on from there";
}

TEST_F(Ema, AnotherDecayIsNoResume) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run(command(output, kEma)).code, 0);
  const auto resumed = [&](const Words& words) { return run(command(output, words + Words{"--resume", "auto"})); };
  EXPECT_EQ(resumed(kEma).code, 0);
  const ProgramResult other = resumed({"--ema", "0.5"}), none = resumed({}), forced = resumed({"--force"});
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"--ema was 0.75, is 0.5"});
  EXPECT_EQ(none.code, 1);
  expect_parts(none.err, {"--ema was 0.75, is off"});
  EXPECT_EQ(forced.code, 1);
  expect_parts(forced.err, {"holds an average of the weights", "nothing was loaded"});
  for (const char* bad : {"0", "1", "1.5", "-0.1", "nan"}) {
    const ProgramResult result = run(command(folder_ / "none", {"--ema", bad}));
    EXPECT_EQ(result.code, 2);
    expect_parts(result.err, {"--ema", bad, "above 0 and below 1"});
  }
}

}  // namespace
}  // namespace unet::test::ema_test
