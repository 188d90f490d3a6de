// A checkpoint that need not fit: what is there is loaded, or refused as a whole; the rest is named.
#include <gtest/gtest.h>

#include "engine/train/checkpoint.h"
#include "tests/engine/train/toy.h"
#include "tests/support/data_support.h"

namespace unet::tests::load_tensors_test {
namespace {

using Names = std::vector<std::string>;
using test::Folder;

/// Encoder and two heads: more than a Toy is and less.
struct Other {
  Other() {
    parameters.add("encoder.norm.weight", {6}, {.constant = 5});
    parameters.add("encoder.conv.weight", {6, 3, 3, 3}, {.bound = 1});
    parameters.add("aux.weight", {2, 1, 1, 6}, {.bound = 1});
    parameters.add_stats("encoder.norm", 6);
    parameters.add_stats("aux.norm", 2);
    parameters.initialize(99);
    for (Parameters::Stats& stats : parameters.stats()) stats.batches_tracked = 40;
  }
  Parameters parameters;
};

std::vector<double> all_of(const Parameters& parameters) {
  std::vector<double> out = parameters.values().values<double>();
  const std::vector<double> running = parameters.running().values<double>();
  out.insert(out.end(), running.begin(), running.end());
  for (const Parameters::Stats& stats : parameters.stats()) out.push_back(static_cast<double>(stats.batches_tracked));
  return out;
}

TEST(LoadTensors, TakesWhatIsThereAndNamesTheRest) {
  const Folder folder;
  const Other other;
  save_model(folder / "other", other.parameters, {});
  Toy toy(Dtype::f32);
  const std::vector<double> bias = toy.parameters.value({4}).values<double>();
  const LoadedTensors result = load_tensors(SafetensorsFile(folder / "other"), toy.parameters);
  EXPECT_EQ(result.loaded, (Names{"encoder.conv.weight", "encoder.norm.weight", "encoder.norm.running_mean",
                                  "encoder.norm.running_var", "encoder.norm.num_batches_tracked"}));
  EXPECT_EQ(result.missing, (Names{"encoder.norm.bias", "head.weight", "head.bias"}));
  EXPECT_EQ(result.unused,
            (Names{"aux.norm.num_batches_tracked", "aux.norm.running_mean", "aux.norm.running_var", "aux.weight"}));
  EXPECT_EQ(toy.parameters.value({0}).values<double>(), other.parameters.value({1}).values<double>());
  EXPECT_EQ(toy.parameters.value({1}).values<double>(), std::vector<double>(6, 5.0));
  EXPECT_EQ(toy.parameters.value({4}).values<double>(), bias) << "what is missing stays";
  EXPECT_EQ(toy.parameters.stats()[0].batches_tracked, 40);
}

TEST(LoadTensors, OfAFileThatFitsIsLoadModel) {
  const Folder folder;
  Toy saved(Dtype::f32), strict(Dtype::f32), loose(Dtype::f32);
  Adam adam(saved.parameters, {});
  Step step(saved.parameters, adam);
  saved.step(step, 1, 0.1);
  save_training(folder / "t", saved.parameters, adam, {});
  const SafetensorsFile file(folder / "t");
  const LoadedTensors result = load_tensors(file, loose.parameters);
  EXPECT_EQ(result.loaded.size(), 8u);
  EXPECT_EQ(result.missing, Names());
  EXPECT_EQ(result.unused, Names()) << "a training's own tensors are passed over";
  EXPECT_EQ(load_model(file, strict.parameters), result.digest);
  EXPECT_EQ(all_of(loose.parameters), all_of(strict.parameters));
  EXPECT_EQ(all_of(loose.parameters), all_of(saved.parameters));
}

TEST(LoadTensors, RenamesFromTheFileToTheModel) {
  const Folder folder;
  Parameters torch;
  torch.add("features.0.weight", {6, 3, 3, 3}, {.bound = 1});
  torch.add("fc.weight", {4}, {.bound = 1});
  torch.initialize(5);
  save_model(folder / "torch", torch, {});
  Toy toy(Dtype::f32);
  const Rename rename = [](const std::string& name) {
    return name == "features.0.weight" ? "encoder.conv.weight" : name;
  };
  const LoadedTensors result = load_tensors(SafetensorsFile(folder / "torch"), toy.parameters, rename);
  EXPECT_EQ(result.loaded, Names{"encoder.conv.weight"});
  EXPECT_EQ(result.unused, Names{"fc.weight"});
  EXPECT_EQ(toy.parameters.value({0}).values<double>(), torch.value({0}).values<double>());
}

TEST(LoadTensors, WhatIsThereAndDoesNotFitIsRefusedBeforeAnythingChanges) {
  const Folder folder;
  Toy toy(Dtype::f32);
  const std::vector<double> before = all_of(toy.parameters);
  const std::vector<float> values(162, 1.0f), infinite(6, std::numeric_limits<float>::infinity());
  const SafetensorsEntry well{"encoder.conv.weight", SafeDtype::kF32, {6, 3, 3, 3}, values.data(), {}};
  const Rename same = [](const std::string& name) { return name == "gamma" ? "encoder.norm.weight" : name; };
  const auto refused = [&](const SafetensorsEntry& entry, const std::string& says, const Metadata& metadata = {}) {
    write_safetensors(folder / "bad", metadata, {well, entry});
    const std::string error = error_of([&] { load_tensors(SafetensorsFile(folder / "bad"), toy.parameters, same); });
    EXPECT_NE(error.find((folder / "bad").string() + ": " + says), std::string::npos) << error;
    EXPECT_NE(error.find("nothing was loaded"), std::string::npos) << error;
    EXPECT_EQ(all_of(toy.parameters), before) << error;
  };
  refused({"encoder.norm.bias", SafeDtype::kF32, {5}, values.data(), {}}, "\"encoder.norm.bias\" is [5], expected [6]");
  refused({"gamma", SafeDtype::kF32, {5}, values.data(), {}},
          "\"gamma\" as \"encoder.norm.weight\" is [5], expected [6]");
  refused({"gamma", SafeDtype::kI16, {6}, values.data(), {}},
          "\"gamma\" as \"encoder.norm.weight\" is I16, expected F32 or F64");
  refused({"gamma", SafeDtype::kF32, {6}, infinite.data(), {}}, "\"gamma\" holds inf at element 0");
  refused({"gamma", SafeDtype::kF32, {6}, values.data(), {}}, "\"gamma\" is damaged",
          {{"checksum.gamma", "0000000000000000"}});
  refused({"encoder.norm.num_batches_tracked", SafeDtype::kF32, {}, values.data(), {}},
          "\"encoder.norm.num_batches_tracked\" is F32 [], expected one I64");
  write_safetensors(folder / "two", {},
                    {{"gamma", SafeDtype::kF32, {6}, values.data(), {}},
                     {"encoder.norm.weight", SafeDtype::kF32, {6}, values.data(), {}}});
  const std::string two = error_of([&] { load_tensors(SafetensorsFile(folder / "two"), toy.parameters, same); });
  EXPECT_NE(two.find("are both \"encoder.norm.weight\" to this model; nothing was loaded"), std::string::npos) << two;
  EXPECT_EQ(all_of(toy.parameters), before);
}

TEST(LoadTensors, HalvesAreConvertedWhereTheFileNeedNotFit) {
  const Folder folder;
  const std::uint16_t f16[]{0x3C00, 0xC000, 0, 0x3800, 0x0001, 0x7BFF}, bf16[]{0x3F80, 0xC000, 0, 0x3F00, 1, 0x7F7F};
  write_safetensors(
      folder / "t", {},
      {{"encoder.norm.weight", SafeDtype::kF16, {6}, f16, {}}, {"encoder.norm.bias", SafeDtype::kBF16, {6}, bf16, {}}});
  Toy toy(Dtype::f32);
  EXPECT_EQ(load_tensors(SafetensorsFile(folder / "t"), toy.parameters).loaded.size(), 2u);
  EXPECT_EQ(toy.parameters.value({1}).values<float>(), (std::vector<float>{1, -2, 0, 0.5, 0x1p-24f, 65504}));
  EXPECT_EQ(toy.parameters.value({2}).values<float>(), (std::vector<float>{1, -2, 0, 0.5, 0x1p-133f, 0x1.FEp127f}));
}

TEST(LoadTensors, OthersAreTakenBesideTheModelsOrInsteadOnceAllAreAccepted) {
  const Folder folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  write_safetensors(folder / "t", {{"checksum.gone", "0"}, {"checksum.state.gone", "0"}},
                    {{"encoder.norm.weight", SafeDtype::kF32, {2}, values.data(), {}},
                     {"extra", SafeDtype::kF32, {3}, values.data(), {}},
                     {"encoder.norm.bias", SafeDtype::kF32, {6}, values.data(), {}}});
  const SafetensorsFile file(folder / "t");
  Toy toy(Dtype::f32);
  const std::vector<double> before = all_of(toy.parameters);
  const std::vector<NamedTensor> others{{"encoder.norm.weight", Tensor::zeros({2}, Dtype::f32)},
                                        {"extra", Tensor::zeros({3}, Dtype::f32)}};
  LoadedTensors seen;
  const auto refuse = [&](const LoadedTensors& found) {
    seen = found;
    require_whole(file, found);
  };
  EXPECT_NE(error_of([&] { load_tensors(file, toy.parameters, {}, others, refuse); })
                .find("\"encoder.conv.weight\" is "
                      "missing"),
            std::string::npos);
  EXPECT_EQ(all_of(toy.parameters), before);
  EXPECT_EQ(others[1].tensor.values<float>(), std::vector<float>(3));
  seen.missing.clear();
  EXPECT_NE(error_of([&] { require_whole(file, seen); }).find("\"gone\" is missing, of which the file has a checksum"),
            std::string::npos);
  EXPECT_EQ(load_tensors(file, toy.parameters, {}, others).unused, Names());
  EXPECT_EQ(others[0].tensor.values<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(others[1].tensor.values<float>(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(toy.parameters.value({1}).values<double>(), Toy(Dtype::f32).parameters.value({1}).values<double>());
  EXPECT_EQ(toy.parameters.value({2}).values<float>(), values);
}

TEST(Checkpoint, OfSeveralGroupsKeepsTheClockOfEach) {
  const Folder folder;
  Toy toy(Dtype::f32), again(Dtype::f32);
  Adam adam(toy.parameters, {}), adam_again(again.parameters, {});
  Step step(toy.parameters, adam);
  toy.parameters.set_trainable("encoder", false);
  for (const bool thawed : {false, false, true}) {
    if (thawed) toy.parameters.set_trainable("encoder", true);
    ASSERT_TRUE(toy.step(step, 1).committed);
  }
  save_training(folder / "t", toy.parameters, adam, {});
  const SafetensorsFile file(folder / "t");
  EXPECT_EQ(file.find("state.adam_steps")->shape, std::vector<std::int64_t>{2});
  load_training(file, again.parameters, adam_again);
  EXPECT_EQ(adam_again.group_steps(), (std::vector<std::int64_t>{1, 3}));
  Step step_again(again.parameters, adam_again);
  toy.step(step, 2);
  again.step(step_again, 2);
  EXPECT_EQ(all_of(again.parameters), all_of(toy.parameters)) << "goes on as if nothing had been";

  Parameters one;
  one.add("w", {1}, {});
  one.initialize(1);
  save_training(folder / "one", one, Adam(one, {}), {});
  EXPECT_EQ(SafetensorsFile(folder / "one").find("state.adam_steps")->shape, std::vector<std::int64_t>());
}

}  // namespace
}  // namespace unet::tests::load_tensors_test
