// Commands as people type them: names of other programs, a folder alone, --resume alone, and words that are nearly
// right.
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/apps/small_data.h"

namespace unet::test::typed_commands_test {
namespace {

class TypedCommands : public testing::Test {
 protected:
  TypedCommands() { write_small_pairs(data_, 6, 2, 32, 32); }

  nlohmann::json options_of(const fs::path& run) const {
    return nlohmann::json::parse(text_of(run / "run.json"))["options"];
  }
  void expect_wrong_use(const Words& words, const std::vector<std::string>& parts) const {
    const ProgramResult result = train_unet(Words{data_.string(), "-o", output_.string()} + words);
    EXPECT_EQ(result.code, 2) << result.err;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(output_));
  }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", output_ = folder_ / "run";
};

TEST_F(TypedCommands, NamesOfOtherProgramsAreAliases) {
  const ProgramResult result =
      train_unet({"--data-path", data_.string(), "--output-dir", output_.string(), "--imgsz", "32", "--batch", "3",
                  "--learning-rate", "5e-3", "--amp", "--base-channels", "2", "-e", "1", "--threads", "1"});
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json options = options_of(output_);
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"image-size", "32"}, {"batch-size", "3"}, {"lr", "0.005"}, {"precision", "bf16"}, {"epochs", "1"}}) {
    EXPECT_EQ(options[name], value) << name;
  }
  EXPECT_FALSE(options.contains("amp"));
  expect_parts(train_unet({"--help"}).out, {"-b,--batch-size,--batch", "--image-size,--imgsz", "--amp"});
}

TEST_F(TypedCommands, AmpAndAnotherPrecisionDoNotGoTogether) {
  write_text(folder_ / "run.toml", "imgsz = 32\nlearning-rate = 2\n");
  expect_wrong_use({"--config", (folder_ / "run.toml").string(), "--amp", "--precision", "fp32"},
                   {"--amp", "is --precision bf16, and --precision fp32 is given too"});
}

TEST_F(TypedCommands, AFolderAloneIsTheData) {
  const Words small{"--base-channels",
                    "2",
                    "--image-size",
                    "32",
                    "-b",
                    "3",
                    "-e",
                    "1",
                    "--phase2-epochs",
                    "1",
                    "--threads",
                    "1",
                    "-o",
                    output_.string()};
  ASSERT_EQ(train_unet(Words{data_.string()} + small).code, 0);
  EXPECT_EQ(options_of(output_)["data"], data_.string());
  const std::string steps = text_of(output_ / "steps.csv");
  // --resume alone goes on from the output folder; the folder behind it is the data.
  for (const Words& resume : {Words{"--resume"} + Words{data_.string()}, Words{data_.string(), "--resume"},
                              Words{data_.string(), "--resume=auto"}, Words{data_.string(), "--resume", "auto"},
                              Words{data_.string(), "--resume=" + (output_ / "last.safetensors").string()}}) {
    const ProgramResult result = train_unet(resume + small);
    ASSERT_EQ(result.code, 0) << resume[0] << result.err;
    expect_parts(result.out, {"resumed from "});
    EXPECT_EQ(text_of(output_ / "steps.csv"), steps);
  }
  Words more = small;
  more[7] = "5";
  const ProgramResult grown = train_unet(Words{data_.string(), "--resume"} + more);
  EXPECT_EQ(grown.code, 1);
  expect_parts(grown.err, {"--epochs was 1, is 5", "may take more epochs", "--init"});

  const Words best{"-c", (output_ / "best.safetensors").string(), "--split", "all", "--threads", "1"};
  const ProgramResult evaluated = eval_unet(best + Words{data_.string()}),
                      named = eval_unet(best + Words{"-d", data_.string()});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  const std::regex speed("images/s +[0-9.]+");
  EXPECT_EQ(std::regex_replace(evaluated.out, speed, ""), std::regex_replace(named.out, speed, ""));
}

TEST_F(TypedCommands, AnUnknownWordNamesTheNearest) {
  expect_wrong_use({"--epoch", "3"}, {"there is no option --epoch; the nearest is --epochs"});
  expect_wrong_use({"--batchsize=3"}, {"there is no option --batchsize; the nearest is --batch-size"});
  expect_wrong_use({"--zzzzzzzz"}, {"there is no option --zzzzzzzz\n"});
  expect_wrong_use({"--augment", "flop"},
                   {"--augment", "flop not in {none,flip,standard,strong}", "the nearest is flip"});
  expect_wrong_use({"--phase1-loss", "dise"}, {"--phase1-loss", "the nearest is dice"});
  expect_wrong_use({"more"}, {"\"more\""});
  write_text(folder_ / "run.toml", "learningrate = 3\n");
  expect_wrong_use({"--config", (folder_ / "run.toml").string()},
                   {"run.toml:1: \"learningrate\" is no option", "the nearest is --learning-rate"});
}

TEST_F(TypedCommands, OrdinalsOfGpus) {
  for (const char* one : {"cuda:1", "1", "cuda:7"}) {
    expect_wrong_use({"--device", one}, {"--device", one, "the first GPU", "CUDA_VISIBLE_DEVICES="});
  }
  expect_wrong_use({"--device", "cuta"}, {"--device", "cuta not in {auto,cpu,cuda}", "the nearest is cuda"});
  for (const char* first : {"gpu", "0", "cuda:0"}) {  // as cuda: an error about the device where there is none
    const ProgramResult result = train_unet({data_.string(), "-o", output_.string(), "--device", first, "--dry-run"});
    EXPECT_NE(result.code, 2) << result.err;
  }
}

TEST_F(TypedCommands, VerboseTellsTheClasses) {
  const ProgramResult result = train_unet({data_.string(), "-o", output_.string(), "--verbose", "--base-channels", "2",
                                           "--image-size", "32", "-e", "1", "--threads", "1"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(
      std::regex_search(result.out, std::regex("\n  dice of the classes, all images as one: 0 [01]\\.[0-9]{4}, 1 "
                                               "([01]\\.[0-9]{4}|-)\n")))
      << result.out;
}

}  // namespace
}  // namespace unet::test::typed_commands_test
