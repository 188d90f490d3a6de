// Runs with --ema, --optimizer sgd and --schedule poly that were killed or stopped end as the runs left alone; what
// --optimizer takes; the named sets of --preset.
#include <nlohmann/json.hpp>

#include "apps/preset.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::recipe_options_test {
namespace {

struct Recipe {
  const char* name;
  Words options;
};
void PrintTo(const Recipe& recipe, std::ostream* out) { *out << recipe.name; }

const Words kSgd{"--optimizer", "sgd", "--momentum", "0.8", "--weight-decay", "0.1"};
const std::vector<Recipe> kRecipes{
    {"Ema", {"--ema", "0.75"}},
    {"Sgd", kSgd},
    {"Poly", {"--schedule", "poly", "--warmup", "4"}},
    {"NesterovOnAFrozenEncoderAveraged",
     kSgd + Words{"--nesterov", "--ema", "0.9", "--schedule", "poly", "--model", "resnet34_unet", "--base-channels",
                  "4", "--freeze-encoder", "1", "--encoder-lr-scale", "0.5"}},
    {"AveragedInAccumulatedStepsFromTheLastWeights",
     {"--ema", "0.75", "--accumulate", "2", "--phase", "loss=cross_entropy,epochs=3,lr=1e-2", "--phase",
      "loss=dice,epochs=2,lr=1e-3,from=last"}},
};

class RecipeOptions : public TinyTraining {
 protected:
  nlohmann::json options_of(const fs::path& output) const {
    return nlohmann::json::parse(text_of(output / "run.json"))["options"];
  }
};
class RecipeResume : public RecipeOptions, public testing::WithParamInterface<Recipe> {};
INSTANTIATE_TEST_SUITE_P(, RecipeResume, testing::ValuesIn(kRecipes),
                         [](const testing::TestParamInfo<Recipe>& recipe) { return std::string(recipe.param.name); });

TEST_P(RecipeResume, EndsAsTheRunLeftAlone) {
  // Within an epoch, in validations (where the average stands in for the weights), in saves, around the change of
  // phase.
  for (const auto& [code, fault] : std::vector<std::pair<int, Fault>>{{137, {"signal 9", "write", "steps.csv", 3}},
                                                                      {137, {"signal 9", "open", "images/p010", 3}},
                                                                      {143, {"signal 15", "open", "images/p010", 3}},
                                                                      {137, {"signal 9", "rename", "last.next", 5}},
                                                                      {137, {"signal 9", "rename", "epoch002", 1}},
                                                                      {137, {"signal 9", "rename", "best_phase2", 1}},
                                                                      {143, {"signal 15", "rename", "epoch003", 1}},
                                                                      {143, {"signal 15", "open", "images/p010", 5}},
                                                                      {137, {"signal 9", "write", "steps.csv", 12}}}) {
    const Words words = GetParam().options + Words{"--save-every", "0", "--cache-mb", "0"};
    const fs::path output = folder_ / "run";
    fs::remove_all(output);
    const std::string where = fmt::format("{} {} {} {}", fault.act, fault.calls, fault.name, fault.at);
    const ProgramResult ended = run_into(fault, command(output, words), folder_.path());
    ASSERT_EQ(ended.code, code) << where << ended.out << ended.err;
    const ProgramResult resumed = run(command(output, words + Words{"--resume", "auto"}));
    ASSERT_EQ(resumed.code, 0) << where << resumed.err;
    expect_as_alone(output, words);
    if (HasFailure()) FAIL() << where;
  }
}

TEST_F(RecipeOptions, EachOptimizerHasALearningRateOfItsOwn) {
  for (const auto& [words, lr, lr_2] :
       {std::tuple{Words{}, "0.001", "0.0001"}, {Words{"--optimizer", "sgd"}, "0.01", "0.001"}}) {
    const fs::path output = folder_ / fmt::format("run{}", words.size());
    ASSERT_EQ(train_unet(small_run(data_, output, words + Words{"--max-steps", "1"})).code, 0);
    EXPECT_EQ(options_of(output)["lr"], lr);
    EXPECT_EQ(options_of(output)["phase2-lr"], lr_2);
    EXPECT_NE(text_of(output / "steps.csv").find(fmt::format(",{},", lr)), std::string::npos);
  }
}

TEST_F(RecipeOptions, SgdLearnsOtherwiseThanAdamAndIsNoResumeOfIt) {
  const Words plain{"--optimizer", "sgd", "--lr", "0.1", "-e", "6"};
  const fs::path &sgd = alone(plain), &nesterov = alone(plain + Words{"--nesterov"});
  const auto column = [](const fs::path& run) { return text_of(run / "steps.csv"); };
  EXPECT_NE(column(sgd), column(alone({"--lr", "0.1", "-e", "6"})));
  EXPECT_NE(column(sgd), column(nesterov));
  const auto resumed = [&](const Words& words) { return run(command(sgd, words + Words{"--resume", "auto"})); };
  EXPECT_EQ(resumed(plain).code, 0);
  const ProgramResult adam = resumed({"--lr", "0.1", "-e", "6"}), other = resumed(plain + Words{"--nesterov"}),
                      forced = resumed({"--lr", "0.1", "-e", "6", "--force"});
  EXPECT_EQ(adam.code, 1);
  expect_parts(adam.err, {"--optimizer was sgd, is adam"});
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"--nesterov was false, is true"});
  EXPECT_EQ(forced.code, 1);
  expect_parts(forced.err, {"\"state.adam_m\" is missing", "nothing was loaded"});
}

TEST_F(RecipeOptions, WrongUseIsToldByName) {
  const fs::path output = folder_ / "run";
  const auto refused = [&](const Words& more, const std::vector<std::string>& parts) {
    const ProgramResult result = run(command(output, more));
    EXPECT_EQ(result.code, 2) << result.err;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(output));
  };
  refused({"--momentum", "0.5"}, {"--momentum is of --optimizer sgd", "adam"});
  refused({"--nesterov"}, {"--nesterov is of --optimizer sgd"});
  refused({"--optimizer", "sgd", "--nesterov", "--momentum", "0"}, {"--nesterov", "--momentum is 0"});
  refused({"--optimizer", "sgd", "--momentum", "1"}, {"--momentum", "\"1\"", "from 0 on and below 1"});
  refused({"--optimizer", "adamw"}, {"--optimizer", "adamw", "the nearest is adam"});
  refused({"--schedule", "polly"}, {"--schedule", "the nearest is poly"});
  refused({"--preset", "small"}, {"--preset", "small-data"});
}

TEST_F(RecipeOptions, APresetIsRecordedAndTold) {
  for (const Preset& preset : presets()) {
    const fs::path output = folder_ / preset.name;
    const Words base{"--max-steps", "1"};
    const ProgramResult result = run(command(output, base + Words{"--preset", preset.name}));
    ASSERT_EQ(result.code, 0) << preset.name << result.err;
    const nlohmann::json options = options_of(output);
    EXPECT_EQ(options["preset"], preset.name);
    Words typed;
    for (const auto& [name, value] : preset.options) {
      EXPECT_EQ(options[name], value) << preset.name << " " << name;
      typed.push_back(fmt::format("--{}={}", name, value));
    }
    EXPECT_EQ(result.out.starts_with(fmt::format("preset {}:", preset.name)), preset.name != std::string("default"))
        << result.out;
    // The same in so many words is the same run.
    const ProgramResult resumed = run(command(output, base + typed + Words{"--resume"}));
    EXPECT_EQ(resumed.code, 0) << resumed.err;
  }
  const ProgramResult quiet =
      run(command(folder_ / "quiet", {"--preset", "small-data", "--quiet", "--max-steps", "1"}));
  EXPECT_EQ(quiet.out.find("preset"), std::string::npos);
}

}  // namespace
}  // namespace unet::test::recipe_options_test
