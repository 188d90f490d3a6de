// A run whose encoder comes from elsewhere, is frozen, thaws, or learns at a rate of its own.
#include <nlohmann/json.hpp>

#include "engine/train/checkpoint.h"
#include "models/resnet34_unet.h"
#include "tests/apps/tiny_training.h"
#include "tests/support/tensor_file.h"

namespace unet::test::encoder_options_test {
namespace {

const Words kResNet{"--model", "resnet34_unet", "--base-channels", "4"};

class EncoderOptions : public TinyTraining {
 protected:
  EncoderOptions() {
    models::ResNet34UNet model({.classes = 7, .base_channels = 4}, 9);
    save_model(folder_ / "whole", model.parameters(), {});
    TensorFile encoder;
    constexpr std::string_view kPrefix = "encoder.";
    for (auto& [name, tensor] : TensorFile(folder_ / "whole").tensors) {
      if (name.starts_with(kPrefix)) encoder.tensors[name.substr(kPrefix.size())] = tensor;
    }
    encoder.set("fc.bias", {1, 2, 3});
    encoder.write(classifier_);
  }

  const fs::path classifier_ = folder_ / "resnet34.safetensors";
};

TEST_F(EncoderOptions, AFrozenOneStaysAsItsFileHasIt) {
  const fs::path output = folder_ / "run";
  const ProgramResult result =
      run(command(output, kResNet + Words{"--encoder-weights", classifier_.string(), "--freeze-encoder", "--verbose"}));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"encoder weights: not the encoder's, left out: fc.bias\n",
                            "resnet34_unet: ", "the encoder does not learn\n"});
  EXPECT_EQ(result.out.find("learns from here on"), std::string::npos);
  const TensorFile file(classifier_), best(output / "best.safetensors");
  int seen = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (name == "fc.bias") continue;
    ++seen;
    EXPECT_TRUE(best.tensors.at("encoder." + name).bytes == tensor.bytes) << name;
  }
  EXPECT_GT(seen, 200);
  EXPECT_EQ(nlohmann::json::parse(text_of(output / "run.json"))["options"]["freeze-encoder"], "all");
}

TEST_F(EncoderOptions, ThawsAfterItsEpochsAndAnyResumeIsExact) {
  // 3 + 2 epochs of 5 steps: frozen in one, and beyond the change of phase.
  for (const char* epochs : {"1", "4"}) {
    const Words words = kResNet + Words{"--encoder-weights",  classifier_.string(),
                                        "--freeze-encoder",   epochs,
                                        "--encoder-lr-scale", "0.25",
                                        "--save-every",       "0"};
    for (const int row : {4, 6, 7, 9, 17, 21, 22, 24}) {  // the fourth step; before and after each thaw; phase 2
      const fs::path output = folder_ / fmt::format("run{}_{}", epochs, row);
      ASSERT_EQ(run_into({"signal 9", "write", "steps.csv", row}, command(output, words), folder_.path()).code, 137);
      // A resume takes neither the file nor what it says.
      const ProgramResult resumed = run(command(output, words + Words{"--resume", "auto"}));
      ASSERT_EQ(resumed.code, 0) << resumed.err;
      EXPECT_EQ(resumed.out.find("encoder weights: "), std::string::npos);
      expect_as_alone(output, words);
    }
  }
  const TensorFile file(classifier_);
  const TensorFile thawed(alone(kResNet + Words{"--encoder-weights", classifier_.string(), "--freeze-encoder", "1",
                                                "--encoder-lr-scale", "0.25", "--save-every", "0"}) /
                          "best_phase2.safetensors");
  EXPECT_FALSE(thawed.tensors.at("encoder.conv1.weight").bytes == file.tensors.at("conv1.weight").bytes);
}

TEST_F(EncoderOptions, SayWhenItThaws) {
  const ProgramResult result = run(command(folder_ / "run", kResNet + Words{"--freeze-encoder", "2", "--verbose"}));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"the encoder does not learn in the first 2 epochs\n"});
  const std::size_t second = result.out.find("epoch   2/3"), third = result.out.find("epoch   3/3");
  const std::size_t thaw = result.out.find("the encoder learns from here on\n");
  EXPECT_TRUE(second < thaw && thaw < third) << result.out;
}

TEST_F(EncoderOptions, AreWhatARunIsRelativeTo) {
  const fs::path output = folder_ / "run";
  const Words words = kResNet + Words{"--freeze-encoder", "1"};
  const ProgramResult stopped =
      run_into({"signal 15", "write", "steps.csv", 9}, command(output, words), folder_.path());
  ASSERT_EQ(stopped.code, 143);
  expect_parts(stopped.out, {"the encoder does not learn in the first epoch\n"});
  const ProgramResult other =
      run(command(output, kResNet + Words{"--freeze-encoder", "2", "--encoder-lr-scale", "0.5", "--resume", "auto"}));
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"--freeze-encoder was 1, is 2", "--encoder-lr-scale was 1, is 0.5"});
}

TEST_F(EncoderOptions, WrongUseIsTold) {
  const auto told = [&](const Words& words, int code, const std::vector<std::string>& parts) {
    const ProgramResult result = run(command(folder_ / "none", words));
    EXPECT_EQ(result.code, code) << result.out << result.err;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(folder_ / "none"));
  };
  told({"--freeze-encoder"}, 1, {"--freeze-encoder: unet has no encoder", "choose another --model"});
  told({"--encoder-weights", classifier_.string()}, 1, {"--encoder-weights: unet has no encoder"});
  told({"--encoder-lr-scale", "0.1"}, 1, {"--encoder-lr-scale: unet has no encoder"});
  told(kResNet + Words{"--freeze-encoder", "-1"}, 2, {"--freeze-encoder", "-1"});
  told(kResNet + Words{"--freeze-encoder", "some"}, 2, {"--freeze-encoder", "some"});
  told(kResNet + Words{"--encoder-lr-scale", "0"}, 2, {"--encoder-lr-scale", "0"});
  told(kResNet + Words{"--init", classifier_.string(), "--encoder-weights", classifier_.string()}, 2,
       {"--init", "--encoder-weights"});
  told(kResNet + Words{"--encoder-weights", (folder_ / "gone.pth").string()}, 1, {"gone.pth", "No such file"});
  told(kResNet + Words{"--bilinear"}, 1, {"resnet34_unet: it has no bilinear upsampling, leave it out"});
  told({"--model", "resnet34_unet", "--base-channels", "6"}, 1, {"multiple of 4, got 6"});
}

}  // namespace
}  // namespace unet::test::encoder_options_test
