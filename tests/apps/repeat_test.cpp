// The same command gives the same steps.csv and the same weights, byte for byte, for any number of loader workers.
#include "tests/apps/small_data.h"

namespace unet::test::repeat_test {
namespace {

struct Outcome {
  std::string steps;
  std::map<std::string, std::string> best, best_phase1, best_phase2;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

TEST(Repeat, SameCommandAndAnyWorkersSameBytes) {
  const Folder folder;
  write_small_pets(folder / "pets", 20, 1);
  const auto outcome = [&](const std::string& name, const Words& words) {
    const fs::path out = folder / name;
    const ProgramResult result =
        train_unet(Words{"-d", (folder / "pets").string(), "-o", out.string(), "--threads", "2", "--base-channels", "4",
                         "--image-size", "32", "-b", "4", "-e", "2", "--lr", "1e-2"} +
                   words);
    EXPECT_EQ(result.code, 0) << result.err;
    return Outcome{text_of(out / "steps.csv"), tensors_of(out / "best.safetensors"),
                   tensors_of(out / "best_phase1.safetensors"), tensors_of(out / "best_phase2.safetensors")};
  };
  const Outcome reference = outcome("first", {"-j", "2"});
  EXPECT_EQ(lines_of(reference.steps).size(), 16u) << "5 steps an epoch, 2 + 1 epochs";
  EXPECT_TRUE(reference == outcome("again", {"-j", "2"})) << "the same command twice";
  for (const char* workers : {"0", "1", "4"}) {
    EXPECT_TRUE(reference == outcome(workers, {"-j", workers})) << workers << " workers";
  }
  EXPECT_TRUE(reference == outcome("uncached", {"--cache-mb", "0"})) << "without a cache of images";
  EXPECT_FALSE(reference == outcome("seed", {"--seed", "1"})) << "the comparison sees nothing";
}

}  // namespace
}  // namespace unet::test::repeat_test
