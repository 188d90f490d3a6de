// Steps go on while a save is written. It is waited for where somebody counts on it, and what went wrong in it is told.
#include <chrono>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/apps/tiny_training.h"

namespace unet::test::saves_test {
namespace {

class Saves : public TinyTraining {
 protected:
  /// Saved before the first step (1) and after each epoch of five steps (2, 3).
  const Words options_{"-e", "2", "--phase2-epochs", "0", "--keep", "all"};
  const fs::path output_ = folder_ / "run";

  /// Lines of a file; none if it is not there yet.
  static std::size_t lines_in(const fs::path& path) { return fs::exists(path) ? lines_of(text_of(path)).size() : 0; }
  /// Epoch files of the run that are the same file as this one.
  std::vector<std::string> epochs_that_are(const fs::path& file) const {
    std::vector<std::string> out;
    for (const std::string& name : names_in(output_)) {
      if (name.find("_epoch") != name.npos && fs::equivalent(output_ / name, file)) out.push_back(name);
    }
    return out;
  }
};

TEST_F(Saves, StepsGoOnWhileOneIsWritten) {
  const Fault slow{"wait 3000", "fsync", "last.next", 2};
  BackgroundProgram training(with_fault(slow, command(output_, options_), folder_.path()), folder_ / "said");
  const auto under_way = [&] { return lines_in(output_ / "steps.csv") < 10 || lines_in(output_ / "metrics.csv") < 2; };
  while (!training.ended() && under_way()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // The header, five steps of the first epoch, four of the second, and the state is still that before all of them.
  ASSERT_FALSE(training.ended());
  const std::string record = run_record_of(output_ / "last.safetensors");
  EXPECT_EQ(nlohmann::json::parse(record)["state"]["all_steps"], 0) << "the steps waited for the save";
  EXPECT_EQ(lines_in(output_ / "metrics.csv"), 2u) << "the row of the epoch, whose checkpoint is there";
  EXPECT_EQ(training.wait(), 0) << text_of(folder_ / "said");
  expect_as_alone(output_, options_);
}

TEST_F(Saves, WhatFailsIsToldByTheNextOneAndAtTheEnd) {
  for (const long at : {1, 2, 3}) {
    fs::remove_all(output_);
    const ProgramResult result =
        run_into({fmt::format("error {}", EIO), "fsync", "last.next", at}, command(output_, options_), folder_.path());
    EXPECT_EQ(result.code, 1) << at;
    const std::string said = fmt::format(
        "train_unet: cannot write \"{}\": Input/output error; look at the disk and at the rights of the "
        "folder\n",
        (output_ / "last.next.safetensors").string());
    EXPECT_EQ(result.err, said) << at;
    EXPECT_EQ(result.out.find("best: "), std::string::npos) << "a run that is not saved has no result: " << result.out;
    // The first, which steps wait for, is told before any; the others after the second epoch.
    EXPECT_EQ(lines_in(output_ / "steps.csv"), at == 1 ? 1u : 11u) << at;
    const ProgramResult resumed = run(command(output_, options_ + Words{at == 1 ? "--overwrite" : "--resume=auto"}));
    EXPECT_EQ(resumed.code, 0) << at << resumed.err;
    expect_as_alone(output_, options_);
  }
}

TEST_F(Saves, AnErrorOfTheStepsDoesNotHideThatOfTheSave) {
  // From the first byte of the first epoch's checkpoint on nothing can be written: neither that nor the next row.
  const std::vector<std::string> writes = calls_of(command(output_, options_), folder_.path(), "write", "run/");
  const auto first = std::find_if(writes.begin(), writes.end(),
                                  [](const std::string& call) { return call.find("epoch001") != call.npos; });
  fs::remove_all(output_);
  const ProgramResult result = run_into({fmt::format("errors {}", ENOSPC), "write", "run/", first - writes.begin() + 1},
                                        command(output_, options_), folder_.path());
  EXPECT_EQ(result.code, 1);
  const std::vector<std::string> said = lines_of(result.err);
  ASSERT_EQ(said.size(), 2u) << result.err;
  expect_parts(said[0], {"train_unet: cannot write", "_epoch001_", "No space left on device"});
  expect_parts(said[1], {"train_unet: cannot write", "steps.csv", "No space left on device"});
}

TEST_F(Saves, APhaseBeginsWithTheBestThatWasStillBeingWritten) {
  const Words options{"-e", "1", "--phase2-epochs", "1"};
  const ProgramResult result =
      run_into({"wait 500", "link", "best_phase1", 1}, command(output_, options), folder_.path());
  EXPECT_EQ(result.code, 0) << result.err;
  expect_as_alone(output_, options);
}

TEST_F(Saves, TheBestIsItsEpochsFileUnderAnotherName) {
  ASSERT_EQ(run(command(output_, options_)).code, 0);
  for (const char* name : {"best.safetensors", "best_phase1.safetensors"}) {
    EXPECT_EQ(epochs_that_are(output_ / name).size(), 1u) << name;
  }
  EXPECT_TRUE(fs::equivalent(output_ / "best.safetensors", output_ / "best_phase1.safetensors"));
}

TEST_F(Saves, WithoutHardLinksTheBestIsAFileOfItsOwn) {
  const ProgramResult result = run_into(
      {"signal 0", "link", "", 0}, Words{"env", "UNET_FAULT_LINKS=none"} + command(output_, options_), folder_.path());
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* name : {"best.safetensors", "best_phase1.safetensors"}) {
    EXPECT_EQ(fs::hard_link_count(output_ / name), 1u) << name;
  }
  expect_as_alone(output_, options_);
}

TEST_F(Saves, WithoutAThreadForThemTheyAreWrittenAllTheSame) {
  const ProgramResult result = run_with_threads(0, command(output_, options_));
  EXPECT_EQ(result.code, 0) << result.err;
  expect_as_alone(output_, options_);
}

}  // namespace
}  // namespace unet::test::saves_test
