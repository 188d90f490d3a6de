// --patience ends a phase, at the same epoch in a run that was killed; the schedule does not know of it.
#include "engine/io/csv.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::patience_test {
namespace {

/// Long enough for Dice to rise and then to go up and down.
const Words kLong{"-e", "12", "--lr", "1e-2", "--phase2-epochs", "9", "--phase2-lr", "1e-2"};

/// Dice of the epochs of each phase.
std::map<std::string, std::vector<double>> dice_of(const fs::path& run) {
  const CsvTable metrics = read_csv(run / "metrics.csv");
  std::map<std::string, std::vector<double>> out;
  for (const auto& row : metrics.rows) {
    out[row[metrics.column("phase")]].push_back(std::stod(row[metrics.column("val_dice")]));
  }
  return out;
}

/// Epochs after which a phase ends that could go on as `dice` does.
std::size_t epochs_with(std::size_t patience, const std::vector<double>& dice) {
  std::size_t best = 0;
  for (std::size_t epoch = 1; epoch < dice.size(); ++epoch) {
    if (dice[epoch] > dice[best]) best = epoch;
    if (epoch - best >= patience) return epoch + 1;
  }
  return dice.size();
}

class Patience : public TinyTraining {};

TEST_F(Patience, EndsAPhaseAndTheNextBeginsFromItsBest) {
  for (const std::size_t patience : {1u, 3u}) {
    const fs::path output = folder_ / fmt::format("run{}", patience);
    const ProgramResult result = run(command(output, kLong + Words{"--patience", std::to_string(patience)}));
    ASSERT_EQ(result.code, 0) << result.err;
    const auto dice = dice_of(output);
    const std::vector<double> first = dice_of(alone(kLong)).at("1");
    ASSERT_EQ(first.size(), 12u);
    const std::size_t epochs = epochs_with(patience, first);
    ASSERT_LT(epochs, 12u) << "the phase must be ended early";
    EXPECT_EQ(dice.at("1"), std::vector<double>(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(epochs)));
    EXPECT_EQ(dice.at("2").size(), epochs_with(patience, dice.at("2")));
    // The rates are those of all twelve epochs.
    const std::string steps = text_of(output / "steps.csv"), all = text_of(alone(kLong) / "steps.csv");
    const std::size_t of_phase_1 = steps.find("\n2,");
    ASSERT_NE(of_phase_1, steps.npos);
    EXPECT_EQ(steps.substr(0, of_phase_1), all.substr(0, of_phase_1));
    const std::vector<double>& there = dice.at("1");
    const auto best = static_cast<std::size_t>(std::max_element(there.begin(), there.end()) - there.begin());
    EXPECT_EQ(epochs - best - 1, patience);
    expect_parts(result.out, {fmt::format("phase 1 ends: its best (epoch {}, val dice ", best + 1),
                              fmt::format(") is {} epoch{} old\n", patience, patience == 1 ? "" : "s"),
                              fmt::format("phase 2: dice from the best of phase 1 (epoch {}, ", best + 1)});
  }
}

TEST_F(Patience, OneAndThreePhasesEndToo) {
  Words phases;
  int ended = 0;
  for (const int count : {1, 3}) {
    while (static_cast<int>(phases.size()) < 2 * count)
      phases = phases + Words{"--phase", "loss=dice,epochs=9,lr=1e-2"};
    const fs::path output = folder_ / fmt::format("run{}", count);
    const ProgramResult result = run(command(output, phases + Words{"--patience", "1"}));
    ASSERT_EQ(result.code, 0) << result.err;
    const auto dice = dice_of(output);
    ASSERT_EQ(static_cast<int>(dice.size()), count);
    for (const auto& [phase, of_phase] : dice) {
      EXPECT_EQ(of_phase.size(), epochs_with(1, of_phase)) << phase;
      const bool told = result.out.find(fmt::format("phase {} ends: its best (epoch ", phase)) != std::string::npos;
      EXPECT_EQ(told, of_phase.size() < 9) << phase;
      ended += told;
    }
  }
  EXPECT_GT(ended, 1);
}

TEST_F(Patience, KilledAroundTheEndOfAPhaseARunGoesOnExactly) {
  const Words words = kLong + Words{"--patience", "2"};
  const std::size_t epochs = dice_of(alone(words)).at("1").size();
  int kills = 0;
  // Before the epoch that ends the phase is saved, when it is, and once phase 2 is under way.
  const auto saves = static_cast<long>(epochs);
  for (const auto& [call, name, at] : {std::tuple{"rename", "last.safetensors", saves},
                                       {"rename", "last.safetensors", saves + 1},
                                       {"rename", "last.next", saves + 1},
                                       {"rename", "last.next", saves + 2},
                                       {"rename", "last.safetensors", saves + 2},
                                       {"rename", "last.safetensors", saves + 3},
                                       {"write", "steps.csv", 5 * saves + 3}}) {
    const fs::path output = folder_ / fmt::format("killed{}", ++kills);
    ASSERT_EQ(run_into({"signal 9", call, name, at}, command(output, words), folder_.path()).code, 137) << name << at;
    const ProgramResult resumed = run(command(output, words + Words{"--resume", "auto"}));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    expect_as_alone(output, words);
    if (HasFailure()) FAIL() << call << " " << name << " " << at;
  }
  const ProgramResult again = run(command(alone(words), words + Words{"--resume", "auto"}));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.out.find("  epoch "), std::string::npos) << "a finished run stays as it is";
}

TEST_F(Patience, IsWhatARunIsRelativeTo) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run(command(output, {"--patience", "9"})).code, 0);
  const ProgramResult other = run(command(output, {"--resume", "auto"}));
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"--patience was 9, is off"});
  for (const char* bad : {"0", "-1", "x"}) {
    const ProgramResult result = run(command(folder_ / "none", {"--patience", bad}));
    EXPECT_EQ(result.code, 2);
    expect_parts(result.err, {"--patience", bad});
  }
}

}  // namespace
}  // namespace unet::test::patience_test
