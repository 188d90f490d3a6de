// SIGINT and SIGTERM: the step under way is finished and saved, exit 130 or 143, and --resume ends as the run left
// alone. A second signal does not wait for the step.
#include <signal.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/apps/tiny_training.h"

namespace unet::test::signals_test {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

class Signals : public TinyTraining {};

TEST_F(Signals, AtTwentyRandomMomentsTheRunGoesOnExactly) {
  const Words options{"-e", "12", "--phase2-epochs", "8", "-j", "1"};
  alone(options);
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  fmt::print("seed {}\n", seed);
  std::mt19937 random(seed);
  const fs::path output = folder_ / "run";
  int stops = 0;
  Words more = options;
  for (int attempt = 0; attempt < 400; ++attempt) {
    const bool interrupt = random() % 2 == 0;
    const auto wait = std::chrono::milliseconds(stops < 20 ? 1 + random() % 40 : 100'000);
    BackgroundProgram program(command(output, more), folder_ / "out");
    // Before the first save there is no run yet that could be saved.
    while (!fs::exists(output / "last.safetensors") && !program.ended()) std::this_thread::yield();
    const auto begin = Clock::now();
    while (Clock::now() - begin < wait && !program.ended()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    program.send(interrupt ? SIGINT : SIGTERM);
    const int code = program.wait();
    if (code == 0) break;
    // A program that has only just begun to resume watches for no signal yet: it dies of it, the state as it was.
    ASSERT_EQ(code, interrupt ? 130 : 143) << "stop " << stops;
    ++stops;
    more = options + Words{"--resume", "auto"};
  }
  EXPECT_GE(stops, 20);
  RecordProperty("stops", stops);
  expect_as_alone(output, options);
}

TEST_F(Signals, TheFirstSaysWhatHappenedAndWhatToDo) {
  const ProgramResult result =
      run_into({"signal 2", "write", "steps.csv", 9}, command(folder_ / "run"), folder_.path());
  EXPECT_EQ(result.code, 130);
  expect_parts(result.err, {"stopped by signal 2", "saved", "--resume auto"});
  EXPECT_EQ(lines_of(text_of(folder_ / "run" / "steps.csv")).size(), 9u) << "the step under way is finished, no other";
}

TEST_F(Signals, ASecondOneLeavesWithinASecondOutOfALongStep) {
  // One step of this takes several seconds: the time is looked at, so a machine on which it does not proves nothing.
  const Words options{"--image-size", "256", "--base-channels", "48", "-b", "8", "--threads", "1"};
  for (const auto& [first, second, code] : {std::tuple(SIGTERM, SIGTERM, 143), std::tuple(SIGTERM, SIGINT, 130)}) {
    const fs::path output = folder_ / fmt::format("run{}", code);
    BackgroundProgram program(command(output, options), folder_ / "out");
    while (!fs::exists(output / "last.safetensors") && !program.ended()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    program.send(first);
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    ASSERT_FALSE(program.ended()) << "the step was shorter than 1.2 s";
    const auto begin = Clock::now();
    program.send(second);
    EXPECT_EQ(program.wait(), code);
    EXPECT_LT(seconds_since(begin), 1.0);
    EXPECT_NO_THROW(tensors_of(output / "last.safetensors"));
  }
}

}  // namespace
}  // namespace unet::test::signals_test
