// --overwrite gives the folder to a new run only once that has a step to show: until then the old one comes back.
#include <sys/stat.h>

#include <cerrno>
#include <fstream>

#include "tests/apps/tiny_training.h"

namespace unet::test::overwrite_test {
namespace {

constexpr const char* kForeign = "unet_20010101T000000Z_phase1_epoch001_dice0.5000.safetensors";

class Overwrite : public TinyTraining {
 protected:
  const Words new_options_{"--seed", "1", "-e", "1", "--phase2-epochs", "1", "--save-every", "0"};
  const fs::path output_ = folder_ / "run";

  /// A finished run, and files of others beside it.
  std::map<std::string, std::string> old_run() {
    fs::remove_all(output_);
    fs::copy(alone(), output_);
    write_text(output_ / "notes.txt", "mine");
    write_text(output_ / kForeign, "mine too");
    fs::create_directory(output_ / "folder");
    return snapshot();
  }
  /// Every file of the folder: inode, time of the last change, bytes.
  std::map<std::string, std::string> snapshot() const {
    std::map<std::string, std::string> out;
    for (const std::string& name : names_in(output_)) {
      struct stat status {};
      ::lstat((output_ / name).c_str(), &status);
      out[name] = fmt::format("{} {}.{} ", status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec) +
                  (S_ISREG(status.st_mode) ? text_of(output_ / name) : "");
    }
    return out;
  }
  Words overwrite(const Words& more = {}) const { return command(output_, new_options_ + Words{"--overwrite"} + more); }

  /// Fails unless the new run has taken the place of the old one, files of others as they were.
  void expect_new() {
    EXPECT_EQ(text_of(output_ / "notes.txt"), "mine");
    EXPECT_EQ(text_of(output_ / kForeign), "mine too");
    for (const char* name : {"notes.txt", kForeign, "folder"}) fs::remove(output_ / name);
    expect_as_alone(output_, new_options_);
  }
};

TEST_F(Overwrite, ARunWithAStepTakesItsPlace) {
  old_run();
  const ProgramResult result = run(overwrite());
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  expect_new();
}

TEST_F(Overwrite, ARunThatFailsBeforeItsFirstStepBringsTheOldOneBack) {
  const fs::path broken = folder_ / "broken";
  fs::copy(data_, broken, fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(broken / "images")) {  // heads whole, bodies cut
    fs::resize_file(entry.path(), fs::file_size(entry.path()) * 2 / 3);
  }
  const std::string full = fmt::format("errors {}", ENOSPC);
  const std::vector<std::pair<std::string, std::function<ProgramResult()>>> failures{
      {"cut photographs",
       [&] {
         return run(overwrite({"-d", broken.string()}));
       }},
      {"a full disk at the first file",
       [&] {
         return run_into({full, "write", "run/", 1}, overwrite(), folder_.path());
       }},
      {"... at the rows",
       [&] {
         return run_into({full, "write", "run/steps", 1}, overwrite(), folder_.path());
       }},
      {"... in the first state",
       [&] {
         return run_into({full, "write", "run/last", 9}, overwrite(), folder_.path());
       }},
      {"... after the first step",
       [&] {
         return run_into({full, "write", "run/steps", 2}, overwrite(), folder_.path());
       }},
      {"... moving aside",
       [&] {
         return run_into({fmt::format("error {}", EIO), "rename", "run/", 4}, overwrite(), folder_.path());
       }},
      {"out of memory in the first step",
       [&] {
         return run(Words{"bash", "-c", "ulimit -v 700000; exec \"$@\"", "bash"} +
                    overwrite({"--image-size", "512", "-b", "8", "--base-channels", "16"}));
       }},
  };
  for (const auto& [what, fail] : failures) {
    if (sanitized && what.starts_with("out of memory")) continue;
    const auto before = old_run();
    const ProgramResult result = fail();
    if (result.code == 0 && what.starts_with("a name")) {  // usable: the better end
      expect_new();
      continue;
    }
    EXPECT_EQ(result.code, 1) << what << result.err;
    EXPECT_TRUE(snapshot() == before) << what << ": the old run is not as it was: " << result.err;
    const bool refused = result.err.find("is back") == std::string::npos;
    EXPECT_TRUE(!refused || what.starts_with("a name") || what.starts_with("cut")) << what << result.err;
  }
}

TEST_F(Overwrite, KilledAtAnyCallTheNextStartKnowsWhoseFolderItIs) {
  old_run();
  const std::vector<std::string> calls =
      calls_of(overwrite(), folder_.path(), "open write fsync rename unlink", "run/");
  std::size_t done = 0, end = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (calls[i] == "rename run/.replaced-run.done") done = i + 1;
    if (calls[i].starts_with("unlink run/.replaced-run.done/")) end = i + 2;
  }
  ASSERT_GT(done, 100u);
  ASSERT_GT(end, done);
  int back = 0, taken = 0;
  for (std::size_t at = 1; at <= end; ++at) {
    const bool rare = calls[at - 1].starts_with("rename") || calls[at - 1].starts_with("unlink");
    if (!long_run() && !(rare ? at % 8 == 0 || (at + 3 > done && at < done + 3) : at % 120 == 0)) continue;
    const std::string where = fmt::format("call {} of {}: {}", at, end, calls[at - 1]);
    const auto before = old_run();
    const ProgramResult killed = run_into({"signal 9", "open write fsync rename unlink", "run/", static_cast<long>(at)},
                                          overwrite(), folder_.path());
    ASSERT_EQ(killed.code, 137) << where << killed.err;
    const bool is_taken = !fs::exists(output_ / ".replaced-run") && !fs::exists(output_ / ".replaced-run.moving") &&
                          snapshot()["run.json"] != before.at("run.json");
    // Beside the turn it is chance whether the row of the next step, which another thread writes, came before it.
    if (at + 2 < done || at > done + 2) {
      EXPECT_EQ(is_taken, at > done) << where;
    }
    const ProgramResult next = run(command(output_, new_options_));
    ASSERT_EQ(next.code, 1) << where << next.out;
    expect_parts(next.err, {"holds a run already"});
    for (const std::string& name : names_in(output_)) EXPECT_FALSE(name.starts_with(".replaced-run")) << where;
    if (!is_taken) {
      EXPECT_TRUE(snapshot() == before) << where << next.err;
      ++back;
    } else {
      ASSERT_EQ(run(command(output_, new_options_ + Words{"--resume", "auto"})).code, 0) << where;
      expect_new();
      ++taken;
    }
    if (HasFailure()) FAIL() << where;
  }
  EXPECT_GE(back, 5);
  EXPECT_GE(taken, 2);
}

TEST_F(Overwrite, KilledWhileTheOldRunComesBackTheNextStartGoesOn) {
  const std::string calls = "open write fsync rename unlink";
  const Words next = command(output_, new_options_);
  const auto begin = [&] {
    const auto before = old_run();
    EXPECT_EQ(run_into({"signal 9", "rename", "run/last.safetensors", 1}, overwrite(), folder_.path()).code, 137);
    return before;
  };
  begin();
  long count = 0;
  for (const fs::path log = folder_ / "log"; count == 0;) {  // it ends with code 1: it cannot be asked by calls_of
    run_into({"signal 0", calls, "run/", 0}, Words{"env", "UNET_FAULT_LOG=" + log.string()} + next, folder_.path());
    count = static_cast<long>(lines_of(text_of(log)).size());
    ASSERT_GT(count, 10);
  }
  for (long at = 1; at <= count; at += long_run() ? 1 : 5) {
    const auto before = begin();
    const ProgramResult killed = run_into({"signal 9", calls, "run/", at}, next, folder_.path());
    ASSERT_EQ(killed.code, 137) << at << killed.err;
    EXPECT_EQ(run(next).code, 1);
    EXPECT_TRUE(snapshot() == before) << "killed at call " << at << " of " << count;
    if (HasFailure()) FAIL();
  }
}

TEST_F(Overwrite, AResumeAfterAKillGoesOnWithTheOldRun) {
  const auto before = old_run();
  ASSERT_EQ(run_into({"signal 9", "write", "run/steps", 2}, overwrite(), folder_.path()).code, 137);
  EXPECT_FALSE(snapshot() == before);
  const ProgramResult result = run(command(output_, {"--resume", "auto"}));
  EXPECT_EQ(result.code, 0) << result.err;
  expect_parts(result.err, {"the run in " + output_.string() + " that was to be replaced is back"});
  EXPECT_TRUE(snapshot() == before);
}

TEST_F(Overwrite, ARunThatSavedNothingIsNotKept) {
  ASSERT_EQ(run_into({"signal 9", "open", "last.next", 1}, command(output_), folder_.path()).code, 137);
  ASSERT_TRUE(fs::exists(output_ / "run.json"));
  ASSERT_EQ(run_into({"signal 9", "write", "run/steps", 2}, overwrite(), folder_.path()).code, 137);
  const ProgramResult resumed = run(command(output_, new_options_ + Words{"--resume", "auto"}));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  expect_as_alone(output_, new_options_);
}

}  // namespace
}  // namespace unet::test::overwrite_test
