// Running out of memory ends a program with exit code 1 and a message that says what and how much; never by a signal,
// and what was saved stays whole.
#include "engine/io/safetensors.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::memory_test {
namespace {

class Memory : public TinyTraining {};

TEST_F(Memory, AnyLargerOperatorNewThatFailsIsACleanEnd) {
  const Words options{"-e", "1", "--phase2-epochs", "1", "-j", "1", "--save-every", "0"};
  const fs::path output = folder_ / "run";
  long total = 0;
  ASSERT_EQ(run_without_memory(0, command(output, options), &total).code, 0);
  ASSERT_GT(total, 100);
  int clean = 0, unnoticed = 0;
  for (long at = 1; at <= total; at += long_run() ? 1 : std::max<long>(1, total / 40)) {
    const std::string where = fmt::format("operator new {} of {}", at, total);
    fs::remove_all(output);
    const ProgramResult result = run_without_memory(at, command(output, options));
    ASSERT_TRUE(result.code == 0 || result.code == 1) << where << ": code " << result.code << " " << result.err;
    (result.code == 0 ? unnoticed : clean) += 1;
    EXPECT_TRUE(result.code == 0 || result.err.find("train_unet: ") != std::string::npos) << where << result.err;
    if (!fs::exists(output)) continue;
    for (const std::string& name : names_in(output)) {
      EXPECT_EQ(name.find(".tmp-"), std::string::npos) << name << " after " << where;
      if (name.ends_with(".safetensors")) {
        EXPECT_NO_THROW(tensors_of(output / name)) << name << " after " << where;
      }
    }
  }
  EXPECT_GT(clean, unnoticed);
  RecordProperty("clean", clean);
  RecordProperty("unnoticed", unnoticed);
}

TEST_F(Memory, TheProgramsOwnSaysWhatToChange) {
  // Of all its allocations, one that belongs to the data: the message of the standard library would be
  // "std::bad_alloc".
  const Words options{"-e", "1", "--phase2-epochs", "0"};
  long total = 0;
  ASSERT_EQ(run_without_memory(0, command(folder_ / "count", options), &total).code, 0);
  const ProgramResult result = run_without_memory(total / 2, command(folder_ / "run", options));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"out of memory", "--batch-size"});
}

TEST_F(Memory, ALimitOfTheSystemSaysWhatAndHowMuch) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's own memory is larger than any limit";
  const fs::path output = folder_ / "run";
  const Words words = command(output, {"--image-size", "512", "-b", "8", "--base-channels", "16"});
  Words limited{"bash", "-c", "ulimit -v 700000; exec \"$@\"", "bash"};
  const ProgramResult result = run(limited + words);
  EXPECT_EQ(result.code, 1) << result.err;
  expect_parts(result.err, {"train_unet: out of memory", "MiB requested", "MiB in use", "MiB cached", "MiB at the peak",
                            "--batch-size", "--image-size", "--base-channels"});
  EXPECT_NO_THROW(tensors_of(output / "last.safetensors")) << "the state from before the first step";
}

}  // namespace
}  // namespace unet::test::memory_test
