// Runs of sums of losses, of class weights, and of masks with a value that does not count.
#include <nlohmann/json.hpp>

#include "engine/io/csv.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::losses_test {
namespace {

using Column = std::vector<double>;

Column column(const fs::path& file, const char* name) {
  const CsvTable table = read_csv(file);
  Column out;
  for (const auto& row : table.rows) out.push_back(std::stod(row[table.column(name)]));
  return out;
}

std::string option_of(const fs::path& output, const char* name) {
  return nlohmann::json::parse(text_of(output / "run.json"))["options"][name];
}

class LossRun : public TinyTraining {
 protected:
  fs::path trained(const char* name, const Words& more) const {
    const ProgramResult result = run(command(folder_ / name, more));
    EXPECT_EQ(result.code, 0) << result.err;
    return folder_ / name;
  }
};

Words sum(const char* phase1 = "0.5 dice+cross_entropy(smoothing=0.1) + focal", const char* phase2 = "dice_batch",
          const char* weights = "median-frequency") {
  return {"--phase1-loss", phase1, "--phase2-loss", phase2, "--class-weights", weights};
}

TEST_F(LossRun, ASumTrainsAndIsRecordedInOneForm) {
  const fs::path output = folder_ / "run";
  const ProgramResult result = run(command(output, sum()));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out,
               {"class weights: 0 ", ", 1 ", "phase 1: cross_entropy(smoothing=0.1) + focal(gamma=2) + 0.5 dice\n",
                "phase 2: dice_batch from the best of phase 1"});
  EXPECT_EQ(option_of(output, "phase1-loss"), "cross_entropy(smoothing=0.1) + focal(gamma=2) + 0.5 dice");
  EXPECT_EQ(option_of(output, "class-weights"), "median-frequency");
  const Column losses = column(output / "steps.csv", "loss");
  EXPECT_LT(losses[14], losses[0]) << "it learns";
}

TEST_F(LossRun, KilledAnywhereItGoesOnExactly) {
  const Words options = sum() + Words{"--save-every", "0"};
  const fs::path output = folder_ / "run";
  for (const long at : {4L, 14L, 19L}) {
    fs::remove_all(output);
    ASSERT_EQ(run_into({"signal 9", "write", "steps.csv", at}, command(output, options), folder_.path()).code, 137);
    const ProgramResult resumed = run(command(output, options + Words{"--resume", "auto"}));
    ASSERT_EQ(resumed.code, 0) << at << resumed.err;
    expect_as_alone(output, options);
  }
}

TEST_F(LossRun, AnotherLossIsNoResume) {
  const fs::path output = trained("run", sum());
  const char* const in_other_words = "focal(gamma=2.0) + 0.50 dice + cross_entropy(smoothing=0.1)";
  const auto resumed = [&](const Words& words) { return run(command(output, words + Words{"--resume", "auto"})); };
  EXPECT_EQ(resumed(sum(in_other_words)).code, 0);
  const ProgramResult loss = resumed(sum(in_other_words, "dice")),
                      weights = resumed(sum(in_other_words, "dice_batch", "none"));
  EXPECT_EQ(loss.code, 1);
  expect_parts(loss.err, {"--phase2-loss was dice_batch, is dice"});
  EXPECT_EQ(weights.code, 1);
  expect_parts(weights.err, {"--class-weights was median-frequency, is none"});
}

// The weights 1 are those of none; a sum of one term is that term; smoothing 0 is none.
TEST_F(LossRun, PlainLossesInOtherWordsAreThoseOfTheDefault) {
  const fs::path other =
      trained("other", {"--phase1-loss", "1 cross_entropy(smoothing=0)", "--phase2-loss", "1.0dice"});
  EXPECT_EQ(text_of(other / "steps.csv"), text_of(alone() / "steps.csv"));
  EXPECT_EQ(text_of(other / "metrics.csv").substr(0, 200), text_of(alone() / "metrics.csv").substr(0, 200));
  EXPECT_EQ(option_of(other, "phase1-loss"), "cross_entropy");
  EXPECT_EQ(option_of(other, "phase2-loss"), "dice");
  const fs::path ones = trained("ones", {"--class-weights", "1,1"});
  EXPECT_EQ(text_of(ones / "steps.csv"), text_of(alone() / "steps.csv"));
}

// One batch of all images: what is minimised there is the sum of the figures that every validation has.
TEST_F(LossRun, TheValidationLossIsTheSumOfItsTerms) {
  const Words once{"-e", "1", "--phase2-epochs", "0", "--lr", "1e-12", "--schedule", "constant"};
  const auto val_loss = [&](const char* name, const char* loss) {
    return column(trained(name, once + Words{"--phase1-loss", loss}) / "metrics.csv", "val_loss")[0];
  };
  const double sum = val_loss("sum", "2 cross_entropy + 0.5 dice"), entropy = val_loss("entropy", "cross_entropy");
  EXPECT_NEAR(sum, 2 * entropy + 0.5 * val_loss("dice", "dice"), 1e-5);
  EXPECT_GT(sum, entropy);
}

TEST_F(LossRun, ClassWeightsChangeWhatIsLearnt) {
  const fs::path output = trained("weighted", {"--class-weights", "0.25,4"});
  EXPECT_NE(column(output / "steps.csv", "loss")[0], column(alone() / "steps.csv", "loss")[0]);
  EXPECT_NE(column(output / "metrics.csv", "val_loss")[0], column(output / "metrics.csv", "val_cross_entropy")[0]);
}

TEST_F(LossRun, AnIgnoredValueOfTheMasksDoesNotCount) {
  const fs::path pairs = folder_ / "pairs", output = folder_ / "run";
  write_small_pairs(pairs, 4, 2, 32, 32);
  for (const std::string& name : names_in(pairs / "masks")) {
    Image mask = load_mask(pairs / "masks" / name);
    std::fill_n(mask.pixels.begin(), 64, std::uint8_t{9});
    write_bytes(pairs / "masks" / name, encode_png(mask));
  }
  EXPECT_EQ(train_unet(small_run(pairs, output, {"-e", "1"})).code, 1);
  const ProgramResult result = train_unet(small_run(pairs, output, {"-e", "1", "--ignore-index", "9"}));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"9 -> ignored", "--ignore-index=9"});
  const ProgramResult evaluated = run({program("eval_unet"), "-c", (output / "best.safetensors").string(), "-d",
                                       pairs.string(), "--split", "val", "--ignore-index", "9"});
  EXPECT_EQ(evaluated.code, 0) << evaluated.err;
}

TEST_F(LossRun, WrongUseIsToldByName) {
  const fs::path output = folder_ / "run";
  const auto refused = [&](const Words& more, const std::vector<std::string>& parts) {
    const ProgramResult result = run(command(output, more));
    EXPECT_EQ(result.code, 2) << result.err;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(output));
  };
  refused({"--phase1-loss", "cross_entropy + dise"}, {"--phase1-loss", "\"dise\" is no term", "the nearest is dice"});
  refused({"--phase2-loss", "dice + dice"}, {"--phase2-loss", "dice twice"});
  refused({"--phase", "loss=focal(gamma=x),epochs=1,lr=1"}, {"--phase", "gamma of focal is \"x\""});
  refused({"--class-weights", "inverted"}, {"--class-weights", "the nearest is inverse"});
  refused({"--class-weights", "1,2,3"}, {"--class-weights 1,2,3 are 3", "each of the 2 classes"});
  refused({"--class-weights", "0,0"}, {"--class-weights", "nothing to learn"});
  refused({"--ignore-index", "256"}, {"--ignore-index"});
}

}  // namespace
}  // namespace unet::test::losses_test
