// State dicts as others write them: what is taken, as what, what is said of it; and what is refused.
#include "models/weights.h"

#include <gtest/gtest.h>

#include "engine/io/half.h"
#include "models/description.h"
#include "tests/models/unet_support.h"
#include "tests/support/data_support.h"
#include "tests/support/error_of.h"
#include "tests/support/file_support.h"
#include "tests/support/tensor_file.h"

namespace unet::test::weights_test {
namespace {

using Lines = std::vector<std::string>;
using models::OtherHead;

constexpr const char* kHead = "outc.conv.weight";
constexpr const char* kHeadBias = "outc.conv.bias";
constexpr const char* kFirst = "inc.double_conv.0.weight";
constexpr const char* kFirstBias = "inc.double_conv.0.bias";

models::SegmenterSpec spec_of(std::int64_t classes = 2) {
  models::SegmenterSpec spec;
  spec.classes = classes;
  spec.base_channels = 4;
  return spec;
}

/// Values, statistics and counts.
std::vector<double> all_of(const Parameters& parameters) {
  std::vector<double> out = parameters.values().values<double>();
  const std::vector<double> running = parameters.running().values<double>();
  out.insert(out.end(), running.begin(), running.end());
  for (const Parameters::Stats& stats : parameters.stats()) out.push_back(static_cast<double>(stats.batches_tracked));
  return out;
}

class OtherPeoplesWeights : public testing::Test {
 protected:
  OtherPeoplesWeights() {
    for (Parameters::Stats& stats : saved_.parameters().stats()) stats.batches_tracked = 7;
    for (int s = 0; s < 18; ++s) {
      const RunningStats stats = saved_.parameters().running({s});
      for (std::int64_t c = 0; c < stats.mean.size(); ++c) {
        const double u = random_uniform(1, Purpose::test, static_cast<std::uint64_t>(s), static_cast<std::uint64_t>(c));
        stats.mean.data<float>()[c] = static_cast<float>(u - 0.5);
        stats.variance.data<float>()[c] = static_cast<float>(u + 0.5);
      }
    }
    save_model(folder_ / "ours", saved_.parameters(), {});
    file_ = TensorFile(folder_ / "ours");
    file_.metadata.clear();
  }

  Lines load(const TensorFile& file, models::Segmenter& model, OtherHead other = OtherHead::refused) const {
    file.write(folder_ / "t");
    return models::load_weights(SafetensorsFile(folder_ / "t"), model, other);
  }
  models::SegmenterSpec described(const TensorFile& file) const {
    file.write(folder_ / "t");
    return models::describe(models::registry(), SafetensorsFile(folder_ / "t")).spec;
  }
  Tensor value(const models::Segmenter& model, const std::string& name) const {
    const auto& params = model.parameters().params();
    const auto at = std::ranges::find(params, name, &Parameters::Param::name) - params.begin();
    return model.parameters().value({static_cast<int>(at)});
  }
  /// Refused in these words, and nothing has changed.
  void expect_refused(const TensorFile& file, const Lines& parts, OtherHead other = OtherHead::refused) const {
    models::UNet model(spec_of(), 99);
    const std::vector<double> before = all_of(model.parameters());
    const std::string error = tests::error_of([&] { load(file, model, other); });
    expect_parts(error, parts);
    expect_parts(error, {(folder_ / "t").string() + ": ", "nothing was loaded"});
    EXPECT_TRUE(all_of(model.parameters()) == before) << error;
    EXPECT_LT(error.size(), 1000u);
    EXPECT_EQ(error.find('\x1b'), std::string::npos);
  }

  const Folder folder_;
  models::UNet saved_{spec_of(), 3};
  TensorFile file_;  // saved_'s, without metadata
};

TEST_F(OtherPeoplesWeights, OfOurOwnFilesNothingIsSaid) {
  for (const char* name : {"ours", "t"}) {  // with checksums, and without
    if (name == std::string("t")) file_.write(folder_ / "t");
    models::UNet model(spec_of(), 99);
    EXPECT_EQ(models::load_weights(SafetensorsFile(folder_ / name), model), Lines());
    EXPECT_TRUE(all_of(model.parameters()) == all_of(saved_.parameters()));
  }
}

TEST_F(OtherPeoplesWeights, APrefixInAnyNestingIsLeftOut) {
  for (const std::string prefix :
       {"module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "net.model.module.module."}) {
    TensorFile file = file_;
    file.put_before_names(prefix);
    EXPECT_EQ(described(file).base_channels, 4);
    models::UNet model(spec_of(), 99);
    EXPECT_EQ(load(file, model), Lines{"names begin with \"" + prefix + "\", which is left out"});
    EXPECT_TRUE(all_of(model.parameters()) == all_of(saved_.parameters()));
  }
}

TEST_F(OtherPeoplesWeights, HalvesAreConverted) {
  for (const SafeDtype dtype : {SafeDtype::kF16, SafeDtype::kBF16}) {
    TensorFile file = file_;
    file.narrow(dtype);
    models::UNet model(spec_of(), 99);
    EXPECT_EQ(load(file, model), Lines{"100 tensors are F16 or BF16, converted to F32"});
    const std::vector<double> exact = all_of(saved_.parameters()), rounded = all_of(model.parameters());
    for (std::size_t i = 0; i < exact.size(); ++i) {
      ASSERT_NEAR(rounded[i], exact[i], 1e-7 + std::abs(exact[i]) / (dtype == SafeDtype::kF16 ? 2000 : 250)) << i;
    }
    const std::vector<double> weight = value(model, kFirst).values<double>();
    EXPECT_NE(weight, value(saved_, kFirst).values<double>());
    std::uint16_t bits = 0;
    std::memcpy(&bits, file.tensors.at(kFirst).bytes.data(), 2);
    EXPECT_EQ(weight[0], dtype == SafeDtype::kF16 ? widen_f16(bits) : kernels::widen(kernels::bf16{bits}));
  }
}

TEST_F(OtherPeoplesWeights, BiasesBeforeABatchNormAreTakenOffItsMean) {
  for (const Parameters::Param& param : saved_.parameters().params()) {
    if (param.shape.rank() != 4 || param.name.find("double_conv") == std::string::npos) continue;
    std::vector<float> bias;
    for (int c = 0; c < param.shape[0]; ++c) bias.push_back(static_cast<float>(c) + 0.25f);
    file_.set(param.name.substr(0, param.name.size() - 6) + "bias", bias);
  }
  models::UNet model(spec_of(), 99);
  EXPECT_EQ(load(file_, model),
            Lines{"biases of convolutions, taken off the running means of the batch norms behind them (18)"});
  EXPECT_TRUE(model.parameters().values().values<double>() == saved_.parameters().values().values<double>());
  for (int s = 0; s < 18; ++s) {
    const RunningStats of_file = saved_.parameters().running({s}), ours = model.parameters().running({s});
    EXPECT_EQ(ours.variance.values<double>(), of_file.variance.values<double>());
    const std::vector<double> before = of_file.mean.values<double>(), after = ours.mean.values<double>();
    for (std::size_t c = 0; c < before.size(); ++c) {
      EXPECT_FLOAT_EQ(static_cast<float>(after[c]), static_cast<float>(before[c] - static_cast<double>(c) - 0.25));
    }
  }
  // The largest there are make no infinity.
  constexpr float kMost = std::numeric_limits<float>::max();
  file_.set("inc.double_conv.1.running_mean", std::vector<float>(4, kMost));
  file_.set(kFirstBias, std::vector<float>(4, -kMost));
  load(file_, model);
  EXPECT_EQ(model.parameters().running({0}).mean.values<float>(), std::vector<float>(4, kMost));
}

TEST_F(OtherPeoplesWeights, CountsThatAreNotThereAreZero) {
  std::erase_if(file_.tensors, [](const auto& entry) { return entry.first.ends_with("num_batches_tracked"); });
  models::UNet model(spec_of(), 99);
  for (Parameters::Stats& stats : model.parameters().stats()) stats.batches_tracked = 5;
  EXPECT_EQ(load(file_, model), Lines{"no num_batches_tracked of 18 batch norms, taken as 0"});
  for (const Parameters::Stats& stats : model.parameters().stats()) EXPECT_EQ(stats.batches_tracked, 0);
}

TEST_F(OtherPeoplesWeights, OneOutputBecomesTwoClasses) {
  const Tensor image = random_images({1, 16, 32, 3}, Dtype::f32, 5);
  Tape tape(Tape::Mode::inference);
  const std::vector<double> two = saved_.forward(tape, tape.input(image)).value.values<double>();
  file_.keep_rows(kHead, 1);
  file_.keep_rows(kHeadBias, 1);
  EXPECT_EQ(described(file_).classes, 2);
  models::UNet model(described(file_), 99);
  for (const OtherHead other : {OtherHead::refused, OtherHead::stays_as_drawn}) {
    EXPECT_EQ(load(file_, model, other), Lines{"one output z (sigmoid), taken as two classes with the logits [0, z]"});
  }
  const std::vector<double> logits = model.forward(tape, tape.input(image)).value.values<double>();
  ASSERT_EQ(logits.size(), two.size());
  for (std::size_t i = 0; i < logits.size(); i += 2) {
    ASSERT_EQ(logits[i], 0);
    ASSERT_FLOAT_EQ(static_cast<float>(logits[i + 1]), static_cast<float>(two[i + 1]));
  }
}

TEST_F(OtherPeoplesWeights, AnotherHeadStaysAsDrawnWhereThatIsAskedFor) {
  for (const std::int64_t classes : {3, 5}) {
    models::UNet model(spec_of(classes), 99), drawn(spec_of(classes), 99);
    EXPECT_EQ(
        load(file_, model, OtherHead::stays_as_drawn),
        Lines{fmt::format("2 outputs, not {}: outc.conv.weight, outc.conv.bias stay as drawn from --seed", classes)});
    for (const char* name : {kHead, kHeadBias}) {
      EXPECT_EQ(value(model, name).values<double>(), value(drawn, name).values<double>());
    }
    for (const char* name : {kFirst, "up4.conv.double_conv.3.weight"}) {
      EXPECT_EQ(value(model, name).values<double>(), value(saved_, name).values<double>());
    }
    EXPECT_TRUE(model.parameters().running().values<double>() == saved_.parameters().running().values<double>());
  }
  file_.keep_rows(kHead, 1);
  file_.keep_rows(kHeadBias, 1);
  models::UNet model(spec_of(3), 99);
  EXPECT_EQ(load(file_, model, OtherHead::stays_as_drawn),
            Lines{"1 outputs, not 3: outc.conv.weight, outc.conv.bias stay as drawn from --seed"});
}

TEST_F(OtherPeoplesWeights, AllAtOnce) {
  file_.keep_rows(kHead, 1);
  file_.keep_rows(kHeadBias, 1);
  file_.set(kFirstBias, {1, 2, 3, 4});
  file_.narrow(SafeDtype::kF16);
  file_.tensors.erase("down1.maxpool_conv.1.double_conv.1.num_batches_tracked");
  file_.put_before_names("module._orig_mod.");
  models::UNet model(described(file_), 99);
  EXPECT_EQ(load(file_, model).size(), 5u);
}

TEST_F(OtherPeoplesWeights, OfAPyTorchFileAreThoseOfSafetensors) {
  const std::string passed_over = "passed over, for they are no tensors: \"mask_values\"";
  const auto expect_same = [&](const TensorFile& file, const std::string& outer, bool channels_last,
                               const Lines& lines) {
    SCOPED_TRACE(outer);
    file.write(folder_ / "t");
    file.write_torch(folder_ / "t.pth", outer, channels_last);
    const auto opened = open_tensor_file(folder_ / "t.pth");
    const models::Description description = models::describe(models::registry(), *opened);
    EXPECT_FALSE(description.says_normalization);
    EXPECT_EQ(models::text_of(description.spec.normalization), "unit");
    models::UNet expected(spec_of(), 99), model(spec_of(), 98);
    models::load_weights(SafetensorsFile(folder_ / "t"), expected);
    EXPECT_EQ(models::load_weights(*opened, model), lines);
    EXPECT_TRUE(all_of(model.parameters()) == all_of(expected.parameters()));
  };
  expect_same(file_, "", false, {passed_over});
  expect_same(file_, "", true, {passed_over});
  for (const std::string outer : {"state_dict", "model_state_dict", "model", "net"}) {
    expect_same(file_, outer, false, {"the dictionary \"" + outer + "\" of the file is taken"});
  }
  for (const SafeDtype dtype : {SafeDtype::kF16, SafeDtype::kBF16}) {
    TensorFile half = file_;
    half.narrow(dtype);
    expect_same(half, "", true, {passed_over, "100 tensors are F16 or BF16, converted to F32"});
  }
  TensorFile all = file_;
  all.keep_rows(kHead, 1);
  all.keep_rows(kHeadBias, 1);
  all.set(kFirstBias, {1, 2, 3, 4});
  all.tensors.erase("down1.maxpool_conv.1.double_conv.1.num_batches_tracked");
  all.put_before_names("module._orig_mod.");
  expect_same(
      all, "net", true,
      {"the dictionary \"net\" of the file is taken", "names begin with \"module._orig_mod.\", which is left out",
       "biases of convolutions, taken off the running means of the batch norms behind them (1)",
       "no num_batches_tracked of 1 batch norms, taken as 0",
       "one output z (sigmoid), taken as two classes with the logits [0, z]"});
}

TEST_F(OtherPeoplesWeights, OfAPyTorchFileThatDoNotFitAreRefusedAndNothingChanges) {
  const auto refused = [&](const Lines& parts, const std::function<void(TensorFile&)>& change) {
    TensorFile file = file_;
    change(file);
    file.write_torch(folder_ / "t");
    models::UNet model(spec_of(), 99);
    const std::vector<double> before = all_of(model.parameters());
    const std::string error = tests::error_of([&] { models::load_weights(*open_tensor_file(folder_ / "t"), model); });
    expect_parts(error, parts);
    expect_parts(error, {(folder_ / "t").string() + ": ", "nothing was loaded"});
    EXPECT_TRUE(all_of(model.parameters()) == before);
  };
  refused({"\"extra\" is not part of this model"}, [](auto& f) { f.set("extra", {1}); });
  refused({"up1.up.bias", "missing"}, [](auto& f) { f.tensors.erase("up1.up.bias"); });
  refused({kHeadBias, "holds nan"}, [](auto& f) { f.set(kHeadBias, {std::numeric_limits<float>::quiet_NaN(), 0}); });
  refused({kHeadBias, "is [3], expected [2]"}, [](auto& f) { f.set(kHeadBias, {1, 2, 3}); });
  refused({kHeadBias, "I64"}, [](auto& f) {
    f.tensors.at(kHeadBias).dtype = SafeDtype::kI64;
    f.tensors.at(kHeadBias).bytes.resize(16);
  });
}

TEST_F(OtherPeoplesWeights, WhatIsNoneOfTheseIsRefusedAndNothingChanges) {
  const auto with = [&](const std::function<void(TensorFile&)>& change) {
    TensorFile file = file_;
    change(file);
    return file;
  };
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> four{1, 2, 3, 4};
  // Names.
  expect_refused(with([](auto& f) { f.set("module.extra", {1}); }), {"\"module.extra\" is not part of this model"});
  expect_refused(with([](auto& f) { f.put_before_names("module."), f.set("extra", {1}); }),
                 {"\"extra\" is not part of this model"});
  expect_refused(with([](auto& f) { f.put_before_names("modules."); }), {kFirst, "missing"});
  expect_refused(with([](auto& f) { f.tensors["module." + std::string(kHead)] = f.tensors.at(kHead); }),
                 {"\"module.outc.conv.weight\" is not part of this model"});
  expect_refused(with([](auto& f) {
                   f.put_before_names("module.");
                   auto node = f.tensors.extract("module." + std::string(kHeadBias));
                   node.key() = kHeadBias;
                   f.tensors.insert(std::move(node));
                 }),
                 {"\"outc.conv.bias\" is missing"});
  expect_refused(with([](auto& f) { f.put_before_names("module."), f.set("\x1b[2J", {1}); }), {"not part of"});
  // Biases.
  expect_refused(with([&](auto& f) { f.set(kFirstBias, {1, 2, 3}); }), {kFirstBias, "is [3], expected [4]"});
  expect_refused(with([&](auto& f) { f.set(kFirstBias, {4, 1}, four); }), {kFirstBias, "is [4,1], expected [4]"});
  expect_refused(with([&](auto& f) { f.set(kFirstBias, {1, 2, nan, 4}); }), {kFirstBias, "holds nan at element 2"});
  expect_refused(with([&](auto& f) { f.set(kFirstBias, four), f.tensors.at(kFirstBias).dtype = SafeDtype::kI32; }),
                 {kFirstBias, "I32"});
  expect_refused(with([&](auto& f) { f.set(kFirstBias, four), f.metadata["checksum.inc.double_conv.0.bias"] = "0"; }),
                 {kFirstBias, "is damaged"});
  expect_refused(with([](auto& f) { f.metadata["checksum.inc.double_conv.0.bias"] = "0"; }),
                 {kFirstBias, "is missing, of which the file has a checksum"});
  expect_refused(with([&](auto& f) { f.set("inc.double_conv.2.bias", four); }), {"inc.double_conv.2.bias", "not part"});
  expect_refused(with([](auto& f) { f.tensors.erase("up1.up.bias"); }), {"up1.up.bias", "missing"});
  // Counts.
  const std::string count = "inc.double_conv.1.num_batches_tracked";
  expect_refused(with([&](auto& f) { f.tensors.erase(count), f.metadata["checksum." + count] = "0"; }),
                 {count, "is missing, of which the file has a checksum"});
  expect_refused(with([&](auto& f) { f.tensors.at(count).dtype = SafeDtype::kU64; }), {count, "expected one I64"});
  expect_refused(with([&](auto& f) { f.tensors.erase("inc.double_conv.1.running_mean"); }),
                 {"running_mean", "missing"});
  // Halves.
  expect_refused(with([](auto& f) { f.tensors.at(kFirst).bytes[3] = 0x7f, f.tensors.at(kFirst).bytes[2] = '\xff'; }),
                 {kFirst, "nan"});
  for (const SafeDtype dtype : {SafeDtype::kF16, SafeDtype::kBF16}) {
    expect_refused(with([&](auto& f) {
                     f.narrow(dtype);
                     f.tensors.at(kFirst).bytes[1] = 0x7f;
                     f.tensors.at(kFirst).bytes[0] = '\xff';
                   }),
                   {kFirst, "holds nan at element 0"});
  }
  expect_refused(with([](auto& f) { f.narrow(SafeDtype::kF16), f.metadata["checksum.outc.conv.bias"] = "0"; }),
                 {kHeadBias, "is damaged"});
  // Heads.
  for (const OtherHead other : {OtherHead::refused, OtherHead::stays_as_drawn}) {
    expect_refused(with([](auto& f) { f.keep_rows(kHead, 1); }), {kHeadBias, "is [2], expected [1]"}, other);
    expect_refused(with([](auto& f) { f.keep_rows(kHeadBias, 1); }), {kHeadBias, "is [1], expected [2]"}, other);
    expect_refused(with([](auto& f) { f.keep_rows(kHead, 1), f.tensors.erase(kHeadBias); }), {kHeadBias, "missing"},
                   other);
    expect_refused(with([](auto& f) {
                     f.set(kHead, {1, 2, 2, 1}, {1, 2, 3, 4}), f.set(kHeadBias, {1});
                   }),
                   {kHead, "is [1,2,2,1], expected [1,4,1,1]"}, other);
    expect_refused(with([](auto& f) { f.set(kHead, {0, 4, 1, 1}, {}); }), {kHead, "is [0,4,1,1]"}, other);
    expect_refused(with([](auto& f) {
                     f.set(kHead, {std::int64_t{1} << 60, 0, 1, 1}, {});
                   }),
                   {kHead, "expected [2,"}, other);
    expect_refused(with([&](auto& f) {
                     f.set(kHead, {1, 4, 1, 1}, {1, 2, nan, 4}), f.set(kHeadBias, {1});
                   }),
                   {kHead, "holds nan"}, other);
  }
  const std::vector<float> twelve(12, 1);
  expect_refused(with([&](auto& f) {
                   f.set(kHead, {3, 4, 1, 1}, twelve), f.set(kHeadBias, {1, 2, 3});
                 }),
                 {kHead, "is [3,4,1,1], expected [2,4,1,1]"});
  expect_refused(with([&](auto& f) {
                   f.set(kHead, {3, 4, 1, 1}, twelve), f.set(kHeadBias, {1, 2, nan});
                 }),
                 {kHeadBias, "holds nan"}, OtherHead::stays_as_drawn);
}

TEST_F(OtherPeoplesWeights, AHostileHeadCostsNoMoreThanItsFile) {
  file_.put_before_names("net.");
  std::string prefix;
  while (prefix.size() < (4 << 20)) prefix += "net.model.";
  TensorFile long_names;
  long_names.set(prefix + kFirst, {4, 3, 3, 3}, std::vector<float>(108));
  const auto refused = [&](const TensorFile& file) {
    file.write(folder_ / "t");
    std::string error;
    const std::size_t bytes = tests::peak_heap_bytes([&] {
      const SafetensorsFile opened(folder_ / "t");
      error = tests::error_of([&] { models::describe(models::registry(), opened); });
    });
    EXPECT_LT(bytes, std::size_t{128} << 20);
    EXPECT_LT(error.size(), 1000u) << error.substr(0, 1000);
    return error;
  };
  EXPECT_NE(refused(long_names).find("holds no whole unet"), std::string::npos);
  TensorFile many;  // each under a prefix of its own
  for (unsigned i = 0; i < 60'000; ++i) {
    std::string name;
    for (unsigned bit = 0; bit < 16; ++bit) name += i >> bit & 1 ? "net." : "model.";
    many.set(name + "x", {1});
  }
  EXPECT_NE(refused(many).find("holds no network that this program knows"), std::string::npos);
  file_.tensors.at("net.outc.conv.weight").shape = {1 << 20, 0, 1, 1};
  file_.tensors.at("net.outc.conv.weight").bytes.clear();
  EXPECT_NE(refused(file_).find("holds no unet that can be"), std::string::npos);
}

}  // namespace
}  // namespace unet::test::weights_test
