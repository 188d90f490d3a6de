// train_unet --dry-run: what it tells, that it is true of the run, and that nothing is left of it.
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "tests/apps/tiny_training.h"

namespace unet::test::dry_run_test {
namespace {

class DryRun : public TinyTraining {
 protected:
  ProgramResult dry(const fs::path& output, const Words& more = {}) const {
    return run(command(output, more) + Words{"--dry-run"});
  }
  const fs::path output_ = folder_ / "run";
};

/// The number behind `before` in a text; -1, and a failure, if there is none.
double number_after(const std::string& text, const std::string& before) {
  const std::size_t at = text.find(before);
  EXPECT_NE(at, std::string::npos) << "no \"" << before << "\" in " << text;
  return at == std::string::npos ? -1 : std::stod(text.substr(at + before.size()));
}

/// Bytes, inodes and times of all files of a folder.
std::string state_of(const fs::path& folder) {
  std::string out;
  for (const std::string& name : names_in(folder)) {
    struct stat info {};
    ::stat((folder / name).c_str(), &info);
    out += fmt::format("{} {} {} {}\n", name, info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    out += text_of(folder / name);
  }
  return out;
}

TEST_F(DryRun, TellsDataOperationsMemoryAndTimeAndWritesNothing) {
  const std::vector<std::string> before = names_in(folder_.path());
  const ProgramResult result = dry(output_);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  expect_parts(result.out, {"10 train, 2 val", "parameters", "operations: ", "GFLOP to infer an image",
                            "for a training step of 2 images", "memory: ", "MiB of them tensors", "MiB decoded images",
                            "time: ", " s the first epoch", "nothing was written"});
  for (const std::string& line : lines_of(result.out)) EXPECT_LE(line.size(), 100u + folder_.path().string().size());
  EXPECT_EQ(names_in(folder_.path()), before);
}

TEST_F(DryRun, TensorsAreAPartOfTheProcess) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's own memory comes on top";
  const ProgramResult result = dry(output_, {"--base-channels", "8", "--image-size", "128"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_LT(number_after(result.out, "the process, "), number_after(result.out, "memory: ")) << result.out;
}

TEST_F(DryRun, LeavesTheRunOfItsFolderAlone) {
  ASSERT_EQ(run(command(output_)).code, 0);
  const std::string before = state_of(output_);
  const ProgramResult result = dry(output_);
  EXPECT_EQ(result.code, 0) << result.err;
  expect_parts(result.err, {"warning", output_.string(), "holds a run already", "--overwrite"});
  for (const Words& more : {Words{"--overwrite"}, Words{"--resume", "auto"}}) {
    const ProgramResult silent = dry(output_, more);
    EXPECT_EQ(silent.code, 0) << silent.err;
    EXPECT_EQ(silent.err, "") << more[0];
  }
  EXPECT_TRUE(state_of(output_) == before);
}

TEST_F(DryRun, ChecksWhatARunWould) {
  write_text(folder_ / "file", "no folder");
  const ProgramResult no_folder = dry(folder_ / "file" / "deep" / "run");
  EXPECT_EQ(no_folder.code, 1);
  expect_parts(no_folder.err, {"cannot make the output folder", (folder_ / "file").string(), "--output"});
  EXPECT_EQ(dry(output_, {"-b", "1", "--image-size", "16"}).code, 1) << "one value a channel";
  EXPECT_EQ(dry(output_, {"--init", (folder_ / "none").string()}).code, 1);
  EXPECT_EQ(dry(output_, {"--resume", "auto"}).code, 1) << "nothing to resume";
  EXPECT_EQ(dry(output_, {"--lr", "nan"}).code, 2);

  ASSERT_EQ(run(command(output_)).code, 0);
  const ProgramResult other = dry(output_, {"--resume", "auto", "--lr", "0.5"});
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"cannot be resumed", "lr"});
}

TEST_F(DryRun, NeedsNoLock) {
  const BackgroundProgram first(command(output_, {"-e", "100000"}), folder_ / "out");
  for (int i = 0; i < 600 && !fs::exists(output_ / "steps.csv"); ++i) ::usleep(50'000);
  const ProgramResult result = dry(output_);
  EXPECT_EQ(result.code, 0) << result.err;
}

TEST_F(DryRun, ItsMemoryIsThatOfTheRun) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's own memory is larger than that of the run";
  struct Case {
    const char *base, *size, *batch;
    Words more;
  };
  write_small_pets(data_, 46, 2);  // 41 to train: the last batch is smaller; 5 to validate on
  for (const Case& c : {Case{"4", "64", "8", {}}, Case{"8", "96", "16", {"-j", "0", "--accumulate", "2"}},
                        Case{"16", "64", "4", {"--precision", "bf16", "--augment", "none"}},
                        Case{"4", "256", "2", {"--cache-mb", "12", "--augment", "flip"}},
                        Case{"24", "32", "8", {"--ema", "0.9"}}, Case{"24", "32", "8", {"--optimizer", "sgd"}}}) {
    const Words words =
        Words{"--base-channels", c.base, "--image-size", c.size, "-b", c.batch, "-e", "1", "--phase2-epochs", "1"} +
        c.more;
    const ProgramResult tried = dry(output_, words);
    ASSERT_EQ(tried.code, 0) << tried.err;
    const ProgramResult real = run(command(output_, words + Words{"--overwrite"}));
    ASSERT_EQ(real.code, 0) << real.err;
    const double told = number_after(tried.out, "memory: ");
    EXPECT_NEAR(told / real.peak_mib, 1, 0.15) << "base " << c.base << ": " << told << " of " << real.peak_mib;
    RecordProperty(fmt::format("base_{}_at_{}", c.base, c.size), fmt::format("{} of {:.1f}", told, real.peak_mib));
  }
}

}  // namespace
}  // namespace unet::test::dry_run_test
