// A run is a list of phases: one, or three, given by --phase or in a file, train, resume exactly and are drawn.
#include <nlohmann/json.hpp>

#include "apps/run/recipe.h"
#include "engine/io/csv.h"
#include "engine/io/safetensors.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::recipe_test {
namespace {

std::string error_in(const std::string& phase) {
  try {
    parse_phase(phase);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(Recipe, ATextIsAPhase) {
  const Phase phase = parse_phase(" loss=dice,epochs = 10 , lr=1e-4,from=last");
  EXPECT_EQ(phase.loss, nn::parse_loss("dice"));
  EXPECT_EQ(phase.epochs, 10);
  EXPECT_EQ(phase.lr, 1e-4);
  EXPECT_EQ(phase.from, From::last);
  EXPECT_EQ(unet::text_of(Recipe{phase}), "loss=dice, epochs=10, lr=0.0001, from=last");
  EXPECT_EQ(unet::text_of(Recipe{parse_phase("loss=0.5dice+focal(gamma=1),epochs=1,lr=1")}),
            "loss=focal(gamma=1) + 0.5 dice, epochs=1, lr=1");
  const std::string two = "loss=cross_entropy, epochs=3, lr=0.001; loss=dice, epochs=1, lr=0.5";
  EXPECT_EQ(unet::text_of(
                Recipe{parse_phase("epochs=3,lr=0.001,loss=cross_entropy"), parse_phase("loss=dice,lr=.5,epochs=1")}),
            two);
  for (const auto& [text, part] :
       std::map<std::string, std::string>{{"", "\"\" is no part"},
                                          {"loss=dice", "no epochs"},
                                          {"loss=dice, epochs=2", "no lr"},
                                          {"epochs=2, lr=1", "no loss"},
                                          {"loss=dise, epochs=2, lr=1", "\"dise\" is no term of a loss"},
                                          {"loss=dice, epochs=0, lr=1", "epochs of a phase is \"0\""},
                                          {"loss=dice, epochs=1e3, lr=1", "epochs of a phase is \"1e3\""},
                                          {"loss=dice, epochs=99999999999, lr=1", "epochs of a phase"},
                                          {"loss=dice, epochs=1, lr=0", "lr of a phase is \"0\""},
                                          {"loss=dice, epochs=1, lr=nan", "lr of a phase"},
                                          {"loss=dice, epochs=1, lr=inf", "lr of a phase"},
                                          {"loss=dice, epochs=1, lr=1, from=first", "from of a phase is \"first\""},
                                          {"loss=dice, epochs=1, lr=1, epochs=2", "epochs twice"},
                                          {"loss=dice, epochs=1, lr=1, warmup=3", "\"warmup\" is no part"},
                                          {"loss=dice, epochs=1, lr=1,", "\"\" is no part"},
                                          {"\x1b[31m=1", "\\x1b"}}) {
    EXPECT_NE(error_in(text).find(part), std::string::npos) << text << ": " << error_in(text);
  }
}

TEST(Recipe, MayGrowWhereItIsNotOver) {
  const auto recipe = [](int a, int b, double lr = 0.5) {
    return fmt::format("loss=cross_entropy, epochs={}, lr=1; loss=dice, epochs={}, lr={}", a, b, lr);
  };
  EXPECT_TRUE(may_become(recipe(2, 2), recipe(2, 3), 2));
  EXPECT_TRUE(may_become(recipe(2, 2), recipe(3, 2), 1));
  EXPECT_FALSE(may_become(recipe(2, 2), recipe(3, 2), 2)) << "phase 1 is over";
  EXPECT_FALSE(may_become(recipe(2, 2), recipe(2, 1), 1));
  EXPECT_FALSE(may_become(recipe(2, 2), recipe(2, 2, 0.25), 1));
  EXPECT_TRUE(may_become(recipe(2, 2), recipe(2, 2) + "; loss=dice, epochs=1, lr=1", 2)) << "a phase behind the last";
  EXPECT_FALSE(may_become(recipe(2, 2) + "; loss=dice, epochs=1, lr=1", recipe(2, 2), 1));
  EXPECT_FALSE(may_become("", recipe(2, 2), 1));
  EXPECT_FALSE(may_become("; ;", recipe(2, 2) + recipe(2, 2), 1));
}

class RecipeRun : public TinyTraining {
 protected:
  /// A file of --config with these phases.
  Words config(const std::string& phases) {
    const fs::path path = folder_ / fmt::format("recipe{}.toml", ++files_);
    write_text(path, "b = 2\n" + phases);
    return {"--config", path.string()};
  }
  int files_ = 0;
};

constexpr const char* kThree =
    "[[phase]]\nloss = \"cross_entropy\"\nepochs = 2\nlr = 1e-2\n\n"
    "[[phase]] # the second\nloss = 'dice'\nepochs = 2\nlr = 5e-3\nfrom = \"best\"\n"
    "[[phase]]\nloss = dice\nepochs = 1\nlr = 1e-3\nfrom = \"last\"\n";

TEST_F(RecipeRun, OneAndThreePhasesTrainAndAreDrawn) {
  for (const auto& [phases, texts] :
       std::map<int, std::string>{{1, "[[phase]]\nloss = dice\nepochs = 2\nlr = 1e-2\n"}, {3, kThree}}) {
    const fs::path output = folder_ / fmt::format("run{}", phases);
    const ProgramResult result = run(command(output, config(texts)));
    ASSERT_EQ(result.code, 0) << result.err;
    const CsvTable metrics = read_csv(output / "metrics.csv");
    std::string order;
    for (const auto& row : metrics.rows) order += row[metrics.column("phase")] + row[metrics.column("epoch")] + " ";
    EXPECT_EQ(order, phases == 1 ? "11 12 " : "11 12 21 22 31 ");
    for (int phase = 1; phase <= 4; ++phase) {
      EXPECT_EQ(fs::exists(output / fmt::format("best_phase{}.safetensors", phase)), phase <= phases) << phase;
    }
    const std::string curves = text_of(output / "curves.svg");
    for (int phase = 1; phase <= 4; ++phase) {
      EXPECT_EQ(curves.find(fmt::format(">phase {}</text>", phase)) != curves.npos, phase <= phases) << phase;
    }
    const nlohmann::json options = nlohmann::json::parse(text_of(output / "run.json"))["options"];
    EXPECT_FALSE(options.contains("epochs") || options.contains("phase2-lr")) << "these are not in force";
    if (phases < 3) continue;
    EXPECT_EQ(options["phase"],
              "loss=cross_entropy, epochs=2, lr=0.01; loss=dice, epochs=2, lr=0.005; loss=dice, epochs=1, lr=0.001, "
              "from=last");
    expect_parts(result.out,
                 {"phase 2: dice from the best of phase 1 (epoch ", "phase 3: dice from the end of phase 2\n"});
  }
}

TEST_F(RecipeRun, TwoPhasesInAFileAreTheTwoOfTheOptions) {
  const fs::path output = folder_ / "run";
  const ProgramResult result =
      run(command(output, {"--phase", "loss=cross_entropy,epochs=3,lr=1e-2", "--phase", "loss=dice,epochs=2,lr=1e-3"}));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(text_of(output / "steps.csv"), text_of(alone() / "steps.csv"));
  EXPECT_TRUE(tensors_of(output / "best.safetensors") == tensors_of(alone() / "best.safetensors"));
}

TEST_F(RecipeRun, ThreePhasesKilledAnywhereGoOnExactly) {
  const Words options = config(kThree) + Words{"--save-every", "0"};
  const fs::path output = folder_ / "run";
  // steps.csv takes a header, then 5 rows an epoch, in 2 + 2 + 1 epochs.
  for (const auto& [calls, name, at] : {std::tuple{"write", "steps.csv", 4L},
                                        {"write", "steps.csv", 14L},
                                        {"write", "steps.csv", 22L},
                                        {"write", "steps.csv", 24L},
                                        {"rename", "best_phase3", 1L},
                                        {"open", "epoch001_dice", 3L}}) {
    fs::remove_all(output);
    const ProgramResult ended = run_into({"signal 9", calls, name, at}, command(output, options), folder_.path());
    ASSERT_EQ(ended.code, 137) << name << at << ended.out << ended.err;
    const ProgramResult resumed = run(command(output, options + Words{"--resume", "auto"}));
    ASSERT_EQ(resumed.code, 0) << name << at << resumed.err;
    expect_as_alone(output, options);
    if (HasFailure()) FAIL() << name << at;
  }
}

TEST_F(RecipeRun, MayGrowBeforeAResume) {
  EXPECT_EQ(unet::text_of(Recipe{parse_phase("loss=0.5dice+focal(gamma=1),epochs=1,lr=1")}),
            "loss=focal(gamma=1) + 0.5 dice, epochs=1, lr=1");
  const std::string two = "[[phase]]\nloss = cross_entropy\nepochs = 1\nlr = 1e-2\n[[phase]]\nloss = dice\nepochs = ",
                    three = "\n[[phase]]\nloss = dice\nepochs = 1\nlr = 1e-3\n";
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run(command(output, config(two + "1\nlr = 5e-3\n"))).code, 0);
  const Words grown = config(two + "2\nlr = 5e-3" + three);
  const ProgramResult other = run(command(output, config(two + "2\nlr = 6e-3\n") + Words{"--resume", "auto"}));
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"cannot be resumed", "--phase was loss=", "lr=0.006"});
  const ProgramResult default_recipe = run(command(output, {"--resume", "auto"}));
  EXPECT_EQ(default_recipe.code, 1);
  expect_parts(default_recipe.err, {"--phase was loss=cross_entropy", "is not there"});
  const ProgramResult result = run(command(output, grown + Words{"--resume", "auto"}));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"phase 2  epoch   2/2", "phase 3  epoch   1/1"});
}

TEST_F(RecipeRun, ASecondPhaseMayFollowTheOnlyOne) {
  const std::string one = "[[phase]]\nloss = dice\nepochs = 1\nlr = 1e-2\n";
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run(command(output, config(one))).code, 0);
  const Words two = config(one + "[[phase]]\nloss = cross_entropy\nepochs = 1\nlr = 3e-3\n");
  const ProgramResult result = run(command(output, two + Words{"--resume"}));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"phase 2: cross_entropy from the best of phase 1"});
}

TEST_F(RecipeRun, WrongUseIsToldByName) {
  const fs::path output = folder_ / "run";
  const auto refused = [&](const Words& more, const std::vector<std::string>& parts) {
    const ProgramResult result = run(command(output, more));
    EXPECT_EQ(result.code, 2) << result.err;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(output));
  };
  refused({"--phase", "loss=dice,epochs=1"}, {"--phase", "no lr"});
  refused({"--phase", "loss=dice,epochs=1,lr=1,from=last"}, {"--phase", "no phase is before the first"});
  refused({"--phase", "loss=dice,epochs=1,lr=1", "-e", "3"}, {"--phase", "--epochs"});
  refused({"--phase", "loss=dice,epochs=1,lr=1", "--phase2-loss", "dice"}, {"--phase", "--phase2-loss"});
  refused(config("[[phase]]\nloss = dice\nepoch = 2\n"),
          {"recipe", ".toml:4: \"epoch\" is no part of a phase", "loss"});
  refused(config("[[phase]]\nloss = dice\nlr = 1\nseed = 2\n"), {".toml:5: \"seed\" is no part of a phase", "before"});
  refused(config("[[phase]]\nloss = \"dice, epochs=3\"\n"), {".toml:3: loss is \"dice, epochs=3\"", "comma"});
  refused(config("[[phase]]\nloss = dice\nepochs = 1\nepochs = 2\nlr = 1\n"), {"epochs twice"});
  refused(config("[[phase]\nloss = dice\n"), {".toml:2: section ["});
  refused(config("[[phase]] x\nloss = dice\n"), {".toml:2: section ["});
  refused(config("[phase]\nloss = dice\n"), {".toml:2: section [phase]"});
  refused(config("phase = \"loss=dice\"\n"), {".toml:2: a phase is a section: [[phase]]"});
}

}  // namespace
}  // namespace unet::test::recipe_test
