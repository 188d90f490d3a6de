// A run that was stopped or killed and goes on by --resume ends as the run left alone: the same steps.csv and the same
// weights, byte for byte.
#include "tests/programs/small_data.h"

namespace unet::test {
namespace {

class Resume : public testing::Test {
 protected:
  Words words(const fs::path& output) const {
    return {program("train_unet"),
            "-d",
            (folder_ / "pets").string(),
            "-o",
            output.string(),
            "--threads",
            "1",
            "-j",
            "1",
            "--base-channels",
            "4",
            "--image-size",
            "32",
            "-b",
            "2",
            "-e",
            "4",
            "--lr",
            "1e-2",
            "--save-every",
            "0"};
  }
  void SetUp() override {
    write_small_pets(folder_ / "pets", 20, 1);
    const ProgramResult alone = run(words(alone_));
    ASSERT_EQ(alone.code, 0) << alone.err;
  }
  void expect_as_alone(const fs::path& output) const {
    EXPECT_EQ(text_of(output / "steps.csv"), text_of(alone_ / "steps.csv"));
    for (const char* name :
         {"best.safetensors", "best_phase1.safetensors", "best_phase2.safetensors", "last.safetensors"}) {
      EXPECT_TRUE(tensors_of(output / name) == tensors_of(alone_ / name)) << name;
    }
  }

  Folder folder_;
  fs::path alone_ = folder_ / "alone";
};

/// Starts the run, ends it by `signal` after a little longer each time, resumes, and so on to the end.
int interruptions(const Words& command, const std::string& signal, int code) {
  int count = 0;
  Words resumed;
  for (int attempt = 0; attempt < 200; ++attempt) {
    const std::string seconds = "0." + std::to_string(150 + attempt * 37 % 200);
    const ProgramResult result = run(Words{"timeout", "--preserve-status", "-s", signal, seconds} + command + resumed);
    if (result.code == 0) return count;
    if (resumed.empty() && !fs::exists(command[4] + "/last.safetensors")) {
      fs::remove_all(command[4]);  // ended before there was a run
      continue;
    }
    EXPECT_EQ(result.code, code) << result.err;
    ++count;
    resumed = {"--resume", "auto"};
  }
  ADD_FAILURE() << "the run never came to its end";
  return count;
}

TEST_F(Resume, AfterTerminationsSameBytes) {
  EXPECT_GT(interruptions(words(folder_ / "term"), "TERM", 143), 0);
  expect_as_alone(folder_ / "term");
}

TEST_F(Resume, AfterKillsSameBytes) {
  EXPECT_GT(interruptions(words(folder_ / "kill"), "KILL", 137), 0);
  expect_as_alone(folder_ / "kill");
}

TEST_F(Resume, AFinishedRunChangesNothing) {
  const ProgramResult again = run(words(alone_) + Words{"--resume", "auto"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(lines_of(text_of(alone_ / "metrics.csv")).size(), 6u) << "a header, 4 + 1 epochs";
}

TEST_F(Resume, RefusesWhatIsNotThatRun) {
  const ProgramResult nothing = run(words(folder_ / "empty") + Words{"--resume", "auto"});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_NE(nothing.err.find("nothing to resume"), std::string::npos) << nothing.err;
  const ProgramResult other = run(words(alone_) + Words{"--seed", "7", "--resume", "auto"});
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("--seed was 0, is 7"), std::string::npos) << other.err;
  const ProgramResult weights = run(words(alone_) + Words{"--resume", (alone_ / "best.safetensors").string()});
  EXPECT_EQ(weights.code, 1);
  EXPECT_NE(weights.err.find("no training to resume"), std::string::npos) << weights.err;
}

TEST_F(Resume, ADamagedStateGivesWayToTheOneBefore) {
  fs::resize_file(alone_ / "last.safetensors", 100);
  const ProgramResult result = run(words(alone_) + Words{"--resume", "auto"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("last.prev.safetensors"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace unet::test
