// --autotune, plans.json and --plans; --precision bf16 on the CPU, in all programs.
#include <fstream>

#include "engine/ops/plan_file.h"
#include "tests/apps/small_data.h"

namespace unet::test::plans_test {
namespace {

class ProgramPlans : public testing::Test {
 protected:
  void SetUp() override { write_small_pets(folder_ / "pets", 12, 1); }
  Words words(const std::string& epochs) const {
    return {"-d",
            (folder_ / "pets").string(),
            "-o",
            run_.string(),
            "--threads",
            "1",
            "-j",
            "0",
            "--base-channels",
            "8",
            "--image-size",
            "32",
            "-b",
            "2",
            "-e",
            epochs,
            "--phase2-epochs",
            "0",
            "--device",
            "cpu",
            "--precision",
            "bf16"};
  }

  Folder folder_;
  fs::path run_ = folder_ / "run";
};

TEST_F(ProgramPlans, AreTimedWrittenResumedAndReplayed) {
  const ProgramResult trained = train_unet(words("1") + Words{"--autotune"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_NE(trained.out.find("bf16"), std::string::npos) << trained.out;
  const std::vector<PlanChoice> chosen = read_plans(run_ / "plans.json");
  ASSERT_FALSE(chosen.empty());
  std::map<kernels::ConvPass, int> passes;
  for (const PlanChoice& c : chosen) {
    EXPECT_EQ(c.of.dtype, Dtype::bf16) << c.id;
    ++passes[c.of.pass];
  }
  EXPECT_EQ(passes.size(), 3u);

  // The record holds the choices: without the file, and without --autotune, they are the same.
  fs::remove(run_ / "plans.json");
  const ProgramResult resumed = train_unet(words("2") + Words{"--resume", "auto"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(read_plans(run_ / "plans.json"), chosen);

  const Words evaluate{"-c",          (run_ / "best.safetensors").string(),
                       "-d",          (folder_ / "pets").string(),
                       "--threads",   "1",
                       "--device",    "cpu",
                       "--precision", "bf16",
                       "-b",          "2",
                       "-j",          "0"};
  const ProgramResult by_plan = eval_unet(evaluate + Words{"--plans", (run_ / "plans.json").string()});
  EXPECT_EQ(by_plan.code, 0) << by_plan.err;
  EXPECT_EQ(eval_unet(evaluate).code, 0);
  const Words predict{
      "-c",   (run_ / "best.safetensors").string(),  "-o", (folder_ / "out").string(), "--device", "cpu", "--precision",
      "bf16", (folder_ / "pets" / "images").string()};
  const ProgramResult predicted = predict_unet(predict);
  EXPECT_EQ(predicted.code, 0) << predicted.err;

  std::vector<PlanChoice> elsewhere = chosen;
  elsewhere[0].machine = "avx1024";
  const fs::path path = folder_ / "elsewhere.json";
  std::ofstream(path) << plans_text(elsewhere);
  const ProgramResult refused = eval_unet(evaluate + Words{"--plans", path.string()});
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("the choice of convolutions was made for \"avx1024\""), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find(path.string()), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace unet::test::plans_test
