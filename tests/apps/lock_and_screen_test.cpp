// A run belongs to one process, and outlives its terminal.
#include <signal.h>

#include <chrono>
#include <thread>

#include "apps/run/progress.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::lock_and_screen_test {
namespace {

class OneProcess : public TinyTraining {
 protected:
  /// Waits until the run has saved for the first time.
  static void await(const fs::path& output, BackgroundProgram& program) {
    while (!fs::exists(output / "last.safetensors") && !program.ended()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  static inline const Words kLong{"-e", "100000", "--phase2-epochs", "0"};
  const fs::path output_ = folder_ / "run";
};

TEST_F(OneProcess, ASecondRunInAFolderIsRefusedAtOnce) {
  BackgroundProgram first(command(output_, kLong), folder_ / "out");
  await(output_, first);
  for (const Words& more : {Words{"--overwrite"}, Words{"--resume", "auto"}}) {
    const ProgramResult second = run(command(output_, kLong + more));
    EXPECT_EQ(second.code, 1);
    expect_parts(second.err, {output_.string(), "in use by process ", "--output"});
  }
  EXPECT_FALSE(first.ended());
  first.send(SIGTERM);
  EXPECT_EQ(first.wait(), 143);
  EXPECT_FALSE(fs::exists(output_ / "run.lock"));
}

TEST_F(OneProcess, ALockLeftByKillIsNone) {
  BackgroundProgram first(command(output_, kLong), folder_ / "out");
  await(output_, first);
  first.send(SIGKILL);
  first.wait();
  EXPECT_TRUE(fs::exists(output_ / "run.lock"));
  EXPECT_EQ(run(command(output_, {"--overwrite"})).code, 0);
}

TEST_F(OneProcess, AClosedTerminalSavesTheRun) {
  BackgroundProgram first(command(output_, kLong), folder_ / "out");
  await(output_, first);
  first.send(SIGHUP);
  EXPECT_EQ(first.wait(), 129);
  EXPECT_TRUE(fs::exists(output_ / "last.safetensors"));
}

TEST_F(OneProcess, NohupIsRespected) {
  BackgroundProgram first(Words{"nohup"} + command(output_, kLong), folder_ / "out");
  await(output_, first);
  first.send(SIGHUP);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_FALSE(first.ended());
  first.send(SIGTERM);
  EXPECT_EQ(first.wait(), 143);
}

TEST_F(OneProcess, AClosedPagerLosesTheScreenAndNoMore) {
  const ProgramResult result =
      run(Words{"bash", "-c", "\"$0\" \"$@\" | head -n 1 > /dev/null; exit ${PIPESTATUS[0]}"} + command(output_));
  EXPECT_EQ(result.code, 0) << result.err;
  expect_as_alone(output_);
}

TEST_F(OneProcess, AFullScreenIsToldOnceAndTheRunGoesOn) {
  const ProgramResult result = run(Words{"sh", "-c", "exec \"$0\" \"$@\" > /dev/full"} + command(output_));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(lines_of(result.err).size(), 1u) << result.err;
  expect_parts(result.err, {"standard output is lost"});
}

TEST_F(OneProcess, AClosedScreenNeverBecomesAFileOfTheRun) {
  const ProgramResult result = run(Words{"sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"} + command(output_));
  EXPECT_EQ(result.code, 0);
  expect_as_alone(output_);
}

TEST_F(OneProcess, AMessageThatCannotBeWrittenKeepsTheExitCode) {
  const ProgramResult result = run({"sh", "-c", "exec \"$0\" -d /nowhere 2> /dev/full", program("train_unet")});
  EXPECT_EQ(result.code, 1);
}

TEST_F(OneProcess, AFileSizeLimitIsACleanError) {
  const ProgramResult result = run(Words{"bash", "-c", "ulimit -f 8; exec \"$0\" \"$@\""} + command(output_));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"File too large"});
}

TEST(Progress, InAPipeAWholeLineNowAndThen) {
  const auto shown = [](bool quiet, double seconds) {
    testing::internal::CaptureStdout();
    Progress("epoch 1", 8, quiet, seconds).update(4);
    return testing::internal::GetCapturedStdout();
  };
  const std::string line = shown(false, 0);
  EXPECT_TRUE(line.starts_with("epoch 1: 4/8 images, ") && line.ends_with(" s left\n")) << line;
  EXPECT_EQ(shown(false, 30), "");
  EXPECT_EQ(shown(true, 0), "");
}

}  // namespace
}  // namespace unet::test::lock_and_screen_test
