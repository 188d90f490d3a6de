// Killed at any call of a save, a run keeps its last good checkpoint and goes on from it as if nothing had been.
#include "engine/io/safetensors.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::kill_test {
namespace {

/// One in so many of the calls, or with UNET_LONG=1 all; the first and the last always.
std::vector<long> chosen(long first, long last, long one_in) {
  std::vector<long> out;
  for (long i = first; i <= last; i += long_run() ? 1 : one_in) out.push_back(i);
  if (out.back() != last) out.push_back(last);
  return out;
}

class Kill : public TinyTraining {
 protected:
  const Words options_{"--save-every", "0", "-e", "2", "--phase2-epochs", "1"};
  const fs::path output_ = folder_ / "run";

  /// Fails unless every checkpoint in the folder that has its final name is whole.
  void expect_whole_checkpoints(const std::string& where) const {
    for (const std::string& name : names_in(output_)) {
      if (!name.ends_with(".safetensors")) continue;
      EXPECT_NO_THROW(tensors_of(output_ / name)) << name << " after " << where;
    }
  }
};

TEST_F(Kill, AtAnyCallOfASaveTheRunGoesOnExactly) {
  std::vector<std::string> calls = calls_of(command(output_, options_), folder_.path());
  fs::remove_all(output_);
  // The save in the middle of the second epoch: from the syncing of the rows to its last rename.
  std::vector<long> begins, ends;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (calls[i] == "fsync run/steps.csv") begins.push_back(static_cast<long>(i) + 1);
    if (calls[i] == "rename run/last.safetensors") ends.push_back(static_cast<long>(i) + 1);
  }
  ASSERT_EQ(begins.size(), ends.size());
  ASSERT_GT(begins.size(), 8u);
  const long begin = begins[8], end = ends[8] + 1;
  ASSERT_GT(end - begin, 100);
  long count = 0;
  for (const char* act : {"signal 9", "tear"}) {
    for (const long at : chosen(begin, end, 20)) {
      const std::string where = fmt::format("{} at call {}: {}", act, at, calls[static_cast<std::size_t>(at - 1)]);
      fs::remove_all(output_);
      const ProgramResult ended = run_into({act, "", "", at}, command(output_, options_), folder_.path());
      ASSERT_EQ(ended.code, 137) << where << ended.err;
      expect_whole_checkpoints(where);
      const ProgramResult resumed = run(command(output_, options_ + Words{"--resume", "auto"}));
      ASSERT_EQ(resumed.code, 0) << where << ": " << resumed.err;
      expect_as_alone(output_, options_);
      if (HasFailure()) FAIL() << where;
      ++count;
    }
  }
  RecordProperty("kills", static_cast<int>(count));
  EXPECT_GT(count, 10);
}

TEST_F(Kill, AtAnyCallOfTheEndOfAnEpochTheRunGoesOnExactly) {
  std::vector<std::string> calls = calls_of(command(output_, options_), folder_.path());
  fs::remove_all(output_);
  // From the first byte of the epoch's checkpoint to the save that follows it.
  long begin = 0, end = 0;
  for (std::size_t i = 0; i < calls.size() && end == 0; ++i) {
    if (begin == 0 && calls[i].find("open run/unet_") == 0) begin = static_cast<long>(i) + 1;
    if (begin != 0 && calls[i] == "fsync run/steps.csv") end = static_cast<long>(i) + 1;
  }
  ASSERT_GT(end, begin);
  long count = 0;
  for (const long at : chosen(begin, end, 30)) {
    const std::string where = fmt::format("call {}: {}", at, calls[static_cast<std::size_t>(at - 1)]);
    fs::remove_all(output_);
    ASSERT_EQ(run_into({"signal 9", "", "", at}, command(output_, options_), folder_.path()).code, 137) << where;
    expect_whole_checkpoints(where);
    const ProgramResult resumed = run(command(output_, options_ + Words{"--resume", "auto"}));
    ASSERT_EQ(resumed.code, 0) << where << ": " << resumed.err;
    expect_as_alone(output_, options_);
    if (HasFailure()) FAIL() << where;
    ++count;
  }
  RecordProperty("kills", static_cast<int>(count));
  EXPECT_GT(count, 5);
}

TEST_F(Kill, AtRandomTheRunGoesOnExactly) {
  // Long enough that no machine ends it before the third kill.
  const Words options{"--save-every", "0", "-e", "16", "--phase2-epochs", "8", "-j", "1"};
  const unsigned seed = ::testing::UnitTest::GetInstance()->random_seed() + 1u;
  SCOPED_TRACE(fmt::format("seed {}", seed));
  RecordProperty("seed", static_cast<int>(seed));
  int kills = 0;
  Words more = options;
  for (unsigned attempt = 0; attempt < 300; ++attempt) {
    // A little longer each time, so that the run comes to its end on a slow machine too.
    const unsigned wait = 40 + attempt * 4 + (seed * 7919 + attempt * 104729) % 61;
    const ProgramResult result =
        run(Words{"timeout", "-s", "KILL", fmt::format("{:.3f}", wait / 1000.0)} + command(output_, more));
    if (result.code == 0) break;
    ASSERT_EQ(result.code, 137) << result.err;
    ++kills;
    const bool saved = fs::exists(output_ / "last.safetensors") || fs::exists(output_ / "last.prev.safetensors");
    more = options + (saved ? Words{"--resume", "auto"} : Words{"--overwrite"});
  }
  EXPECT_GT(kills, 2);
  expect_as_alone(output_, options);
}

}  // namespace
}  // namespace unet::test::kill_test
