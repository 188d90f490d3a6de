// Training, evaluation, prediction, resume and checkpoints of a network that the programs have never heard of.
#include <nlohmann/json.hpp>

#include "engine/io/safetensors.h"
#include "models/description.h"
#include "tests/apps/tiny_training.h"
#include "tests/support/toy/toy.h"

namespace unet::test::segmenter_test {
namespace {

class SecondModel : public TinyTraining {
 protected:
  static ProgramResult toy(const std::string& name, const Words& words) {
    return run(Words{program("toy_programs"), name} + words);
  }
  /// TinyTraining's command for the program with the longer table.
  Words toy_command(const fs::path& output, const Words& more = {}) const {
    Words words = command(output, Words{"--model", "toy", "--base-channels", "4"} + more);
    words.erase(words.begin());
    return Words{program("toy_programs"), "train_unet"} + words;
  }
};

TEST_F(SecondModel, TrainsEvaluatesPredictsAndResumes) {
  const fs::path whole = folder_ / "whole", killed = folder_ / "killed";
  const ProgramResult result = run(toy_command(whole));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"toy: ", " parameters, base channels 4", "phase 2: dice from the best of phase 1"});
  const std::vector<std::string> files = run_files_of(whole);
  EXPECT_EQ(std::count_if(files.begin(), files.end(),
                          [](const std::string& name) { return name.starts_with("toy_TIME_phase"); }),
            1)
      << "--keep 1";
  EXPECT_EQ(SafetensorsFile(whole / "best.safetensors").metadata().at("model"), "toy");
  EXPECT_EQ(nlohmann::json::parse(text_of(whole / "run.json"))["options"]["model"], "toy");

  ASSERT_EQ(run_into({"signal 9", "write", "steps.csv", 9}, toy_command(killed), folder_.path()).code, 137);
  const ProgramResult resumed = run(toy_command(killed, {"--resume", "auto"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(text_of(killed / "steps.csv"), text_of(whole / "steps.csv"));
  EXPECT_EQ(run_files_of(killed), files);
  for (const char* name : {"best.safetensors", "best_phase1.safetensors", "best_phase2.safetensors"}) {
    EXPECT_TRUE(text_of(killed / name) == text_of(whole / name)) << name;
  }
  const ProgramResult other = run(command(killed, {"--resume", "auto", "--base-channels", "4"}));
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"--model was toy, is unet"});

  const std::string best = (whole / "best.safetensors").string();
  const ProgramResult evaluated = toy("eval_unet", {"-c", best, "-d", data_.string(), "--split", "train"});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  expect_parts(evaluated.out, {"cross_entropy", "dice"});
  const fs::path photo = data_ / "images" / "p000.png";
  const fs::path masks = folder_ / "masks";
  const ProgramResult predicted =
      toy("predict_unet", {"-c", best, "-o", masks.string(), photo.string(), "--image-size", "33x47"});
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  EXPECT_TRUE(fs::exists(masks / "p000_mask.png"));

  // A run of it is replaced as any other: all of its files go.
  ASSERT_EQ(run(toy_command(whole, {"--overwrite", "--seed", "5", "-e", "1", "--phase2-epochs", "0"})).code, 0);
  EXPECT_FALSE(fs::exists(whole / "best_phase2.safetensors"));
}

TEST_F(SecondModel, IsUnknownToProgramsWithoutItsRow) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run(toy_command(output, {"-e", "1", "--phase2-epochs", "0"})).code, 0);
  const ProgramResult evaluated = eval_unet({"-c", (output / "best.safetensors").string(), "-d", data_.string()});
  EXPECT_EQ(evaluated.code, 1);
  expect_parts(evaluated.err,
               {"best.safetensors: holds no network that this program knows (unet, resnet34_unet)", "say \"toy\""});
  const ProgramResult trained = train_unet({"-d", data_.string(), "--model", "toy"});
  EXPECT_EQ(trained.code, 2);
  expect_parts(trained.err, {"--model", "toy", "unet"});
}

TEST_F(SecondModel, AFileIsKnownByItsEntryOrElseByItsTensors) {
  const models::Registry rows = registry_with_toy();
  const auto described = [&](models::Segmenter&& model, const Metadata& metadata) {
    const fs::path path = folder_ / "file.safetensors";
    save_model(path, model.parameters(), metadata);
    return models::describe(rows, SafetensorsFile(path)).spec;
  };
  const models::SegmenterSpec toy{.classes = 4, .base_channels = 6, .model = "toy"};
  EXPECT_EQ(described(Toy(toy), {{"model", "toy"}}).model, "toy");
  EXPECT_EQ(described(Toy(toy), {}).classes, 4);
  EXPECT_EQ(described(Toy(toy), {{"model", "unet"}}).base_channels, 6) << "an entry of another program";
  const models::SegmenterSpec unet{.in_channels = 1, .base_channels = 2};
  EXPECT_EQ(described(std::move(*models::make_segmenter(rows, unet, 0, {})), {{"model", "mine"}}).model, "unet");
  EXPECT_EQ(described(std::move(*models::make_segmenter(rows, unet, 0, {})), {}).in_channels, 1);
  try {
    models::make_segmenter(rows, {.model = "resnet"}, 0, {});
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), "there is no network \"resnet\"; there are: unet, resnet34_unet, toy");
  }
}

}  // namespace
}  // namespace unet::test::segmenter_test
