// A broken picture in a data set: --on-corrupt stop names it and takes no step; skip leaves it out, says so, and the
// run is as reproducible as any other.
#include <nlohmann/json.hpp>

#include "tests/apps/tiny_training.h"

namespace unet::test::on_corrupt_test {
namespace {

class OnCorrupt : public TinyTraining {
 protected:
  const Words skip_{"--on-corrupt", "skip", "-e", "1", "--phase2-epochs", "1", "-b", "16"};

  OnCorrupt() { write_small_pets(data_, 120, 1); }

  /// Cuts the file in half: its head is sound.
  fs::path cut(const std::string& name) const {
    const fs::path path = data_ / name;
    fs::resize_file(path, fs::file_size(path) / 2);
    return path;
  }
};

TEST_F(OnCorrupt, StopNamesFileAndReasonAndTakesNoStep) {
  const fs::path mask = cut("annotations/trimaps/p003.png");
  const fs::path output = folder_ / "run";
  const ProgramResult result = run(command(output, {"--on-corrupt", "stop"}));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"trainval.txt:4", mask.string(), "the file ends early"});
  EXPECT_FALSE(fs::exists(output));
  EXPECT_EQ(run(command(output)).code, 1) << "stop is the default";
}

TEST_F(OnCorrupt, SkipCountsAndListsWhatIsLeftOut) {
  const fs::path photo = cut("images/p003.png");
  const fs::path& output = alone(skip_);
  const nlohmann::json json = nlohmann::json::parse(text_of(output / "run.json"));
  ASSERT_EQ(json["data"]["skipped"].size(), 1u);
  EXPECT_EQ(json["data"]["skipped"][0]["name"], "p003");
  expect_parts(json["data"]["skipped"][0]["reason"], {"trainval.txt:4", photo.string(), "the file ends early"});
  EXPECT_EQ(json["data"]["images"]["train"], 107);
  EXPECT_EQ(json["options"]["on-corrupt"], "skip");
  const ProgramResult said = run(command(folder_ / "said", skip_));
  expect_parts(said.out, {"skipped: 1 broken", photo.string()});
}

TEST_F(OnCorrupt, SkipIsDeterministicAndResumable) {
  cut("images/p003.png");
  const Words workers = skip_ + Words{"-j", "2"};
  ASSERT_EQ(run(command(folder_ / "again", workers)).code, 0);
  expect_as_alone(folder_ / "again", skip_);
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run_into({"signal 9", "write", "steps.csv", 10}, command(output, skip_), folder_.path()).code, 137);
  const ProgramResult resumed = run(command(output, skip_ + Words{"--resume", "auto"}));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  expect_as_alone(output, skip_);
}

TEST_F(OnCorrupt, SkipStopsAboveOneInAHundred) {
  cut("images/p003.png");
  cut("annotations/trimaps/p017.png");
  const fs::path output = folder_ / "run";
  const ProgramResult result = run(command(output, skip_));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"2 of 121 pairs are broken", "1 %", "p003.png"});
  EXPECT_FALSE(fs::exists(output));
}

TEST_F(OnCorrupt, APictureThatBreaksBetweenStopAndResumeIsSeen) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run_into({"signal 15", "write", "steps.csv", 4}, command(output, skip_), folder_.path()).code, 143);
  cut("images/p003.png");
  const ProgramResult result = run(command(output, skip_ + Words{"--resume", "auto"}));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"cannot be resumed", "the list of images is another one", "--force"});
}

TEST_F(OnCorrupt, SkipTakesAFileThatIsMissingForAMistakeOfTheList) {
  fs::remove(data_ / "images" / "p003.png");
  const ProgramResult result = run(command(folder_ / "run", skip_));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"trainval.txt:4", "p003", "missing"});
}

}  // namespace
}  // namespace unet::test::on_corrupt_test
