// --weight-decay: which parameters a step of the real program pulls towards 0.
#include <nlohmann/json.hpp>

#include "engine/io/safetensors.h"
#include "tests/apps/small_data.h"

namespace unet::test::weight_decay_test {
namespace {

const Words kPlain{"--no-shuffle", "--augment", "none", "--schedule", "constant"};

TEST(Train, WeightDecayLeavesBiasesAndNormsAloneUnlessToldOtherwise) {
  const Folder folder;
  write_small_pairs(folder / "data", 4, 1, 32, 32);
  const auto after_a_step = [&](const std::string& name, const Words& words) {
    const fs::path run = folder / name;
    const ProgramResult result = train_unet(
        small_run(folder / "data", run,
                  kPlain + Words{"-e", "1", "--phase2-epochs", "0", "--max-steps", "1", "--lr", "1e-2"} + words));
    EXPECT_EQ(result.code, 0) << result.err;
    return run / "best.safetensors";
  };
  const fs::path without = after_a_step("without", {}), decayed = after_a_step("decayed", {"--weight-decay", "50"}),
                 all = after_a_step("all", {"--weight-decay", "50", "--decay-all"});
  const auto before = tensors_of(without), now = tensors_of(decayed), old_way = tensors_of(all);
  int weights = 0, others = 0;
  const std::vector<TensorInfo> tensors = SafetensorsFile(without).tensors();
  for (const TensorInfo& info : tensors) {
    if (!info.name.ends_with(".weight") && !info.name.ends_with(".bias")) continue;  // statistics
    const bool weight = info.shape.size() > 1;
    EXPECT_EQ(now.at(info.name) == before.at(info.name), !weight) << info.name;
    if (weight || info.name.ends_with(".weight")) {  // biases of batch norms begin at 0, where decay does nothing
      EXPECT_NE(old_way.at(info.name), before.at(info.name)) << info.name;
    }
    ++(weight ? weights : others);
  }
  EXPECT_GT(weights, 20);
  EXPECT_GT(others, 30);
  EXPECT_EQ(nlohmann::json::parse(text_of(folder / "all" / "run.json"))["options"]["decay-all"], "true");
}

}  // namespace
}  // namespace unet::test::weight_decay_test
