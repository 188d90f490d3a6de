// A model and its optimizer against checkpoints that are not theirs: refused by name, and no byte of either changes.
#include "engine/train/checkpoint.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "apps/run/run_state.h"
#include "engine/core/error.h"
#include "engine/train/adam.h"
#include "models/description.h"
#include "tests/support/file_support.h"
#include "tests/support/long_run.h"

namespace unet::tests::checkpoint_test {
namespace {

namespace fs = std::filesystem;

/// One of each: a convolution's weight and bias, a batch norm; and the optimizer, after a made-up step.
struct Training {
  Parameters parameters;
  std::optional<Adam> optimizer;

  explicit Training(std::uint64_t seed) {
    parameters.add("conv.weight", {2, 1, 2, 3}, {0.5, 0});  // in memory [Cout,Kh,Kw,Cin]
    parameters.add("conv.bias", {2}, {0.5, 0});
    parameters.add_stats("norm", 2);
    parameters.initialize(seed);
    optimizer.emplace(parameters, kernels::AdamSpec{});
    const auto fill = [&](const Tensor& range, float first) {
      for (std::int64_t i = 0; i < range.size(); ++i) range.data<float>()[i] = first + static_cast<float>(i);
    };
    fill(optimizer->m(), static_cast<float>(seed));
    fill(optimizer->v(), static_cast<float>(seed) + 0.25f);
    fill(parameters.running(StatsId{0}).mean, static_cast<float>(seed) + 0.5f);
    fill(parameters.running(StatsId{0}).variance, static_cast<float>(seed) + 1.5f);
    parameters.stats()[0].batches_tracked = static_cast<std::int64_t>(seed);
    optimizer->set_group_steps({static_cast<std::int64_t>(seed)});
  }

  /// All of it, padding included, byte for byte.
  std::string bytes() const {
    std::string out;
    for (const Tensor& range : {parameters.values(), parameters.running(), optimizer->m(), optimizer->v()}) {
      out.append(range.data<char>(), static_cast<std::size_t>(range.size()) * sizeof(float));
    }
    return out + fmt::format("{} {}", parameters.stats()[0].batches_tracked, optimizer->steps());
  }
};

std::string record_text() {
  RunRecord record;
  record.state.started = "20240229T235959Z";
  record.options = {{"epochs", "24"}, {"phase2-epochs", "8"}, {"seed", "1"}};
  return to_text(record);
}

/// A checkpoint taken apart, to be changed and written again.
struct Pieces {
  Metadata metadata;
  std::vector<SafetensorsEntry> entries;
  std::vector<std::vector<char>> data;

  explicit Pieces(const fs::path& path) {
    const SafetensorsFile file(path);
    metadata = file.metadata();
    data.reserve(file.tensors().size());
    for (const TensorInfo& info : file.tensors()) {
      file.read(info, data.emplace_back(info.bytes() + 64).data());  // room to be called a larger tensor
      entries.push_back({info.name, info.dtype, info.shape, data.back().data(), {}});
    }
  }
  SafetensorsEntry& entry(std::string_view name) {
    return *std::find_if(entries.begin(), entries.end(), [&](const SafetensorsEntry& e) { return e.name == name; });
  }
};

TEST(Checkpoint, ComesBackByteForByte) {
  const TemporaryFolder folder;
  const Training saved(3);
  save_training(folder / "t", saved.parameters, *saved.optimizer, {{"k", "v"}});
  Training loaded(4);
  ASSERT_FALSE(loaded.bytes() == saved.bytes());
  load_training(SafetensorsFile(folder / "t"), loaded.parameters, *loaded.optimizer);
  EXPECT_TRUE(loaded.bytes() == saved.bytes());
}

TEST(Checkpoint, MissingExtraMisshapenAndOfAnotherDtypeAreRefused) {
  const TemporaryFolder folder;
  const Training saved(3);
  save_training(folder / "good", saved.parameters, *saved.optimizer, {});
  Training model(4);
  const std::string before = model.bytes();
  int cases = 0;
  const auto refused = [&](const std::function<void(Pieces&)>& spoil, std::initializer_list<const char*> parts) {
    Pieces pieces(folder / "good");
    spoil(pieces);
    write_safetensors(folder / "bad", pieces.metadata, pieces.entries);
    const std::string error =
        error_of([&] { load_training(SafetensorsFile(folder / "bad"), model.parameters, *model.optimizer); });
    EXPECT_NE(error.find((folder / "bad").string()), std::string::npos) << error;
    EXPECT_NE(error.find("nothing was loaded"), std::string::npos) << error;
    for (const char* part : parts) EXPECT_NE(error.find(part), std::string::npos) << part << " in: " << error;
    EXPECT_TRUE(model.bytes() == before) << error;
    ++cases;
  };
  const char* weight = "conv.weight";
  for (const char* name : {weight, "conv.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
                           "state.adam_m", "state.adam_v", "state.adam_steps"}) {
    refused([&](Pieces& p) { std::erase_if(p.entries, [&](const auto& e) { return e.name == name; }); },
            {name, "missing"});
    refused([&](Pieces& p) { p.entry(name).shape = {1, 1, 3}; }, {name, "[1,1,3]"});
    refused([&](Pieces& p) { p.entry(name).dtype = SafeDtype::kI16; }, {name, "I16"});
  }
  refused([&](Pieces& p) { p.entry(weight).shape = {2, 1, 2, 3}; }, {weight, "[2,1,2,3]", "expected [2,3,1,2]"});
  refused([&](Pieces& p) { p.entry(weight).dtype = SafeDtype::kBF16; }, {weight, "BF16", "expected F32 or F64"});
  refused(
      [&](Pieces& p) {
        p.entries.push_back({"conv2.weight", SafeDtype::kF32, {1}, p.data[0].data(), {}});
      },
      {"conv2.weight", "not part of this model"});
  refused([&](Pieces& p) { p.entry("norm.running_var").name = "norm.running_\x1b[31m"; },
          {"norm.running_var", "missing"});
  EXPECT_EQ(cases, 28);
}

/// run_record's verdict on a file with this text for its record, "" if it is accepted.
std::string record_error(const std::string& text) {
  const TemporaryFolder folder;
  const float value = 1;
  write_safetensors(folder / "t", {{kRunRecordKey, text}}, {{"w", SafeDtype::kF32, {1}, &value, {}}});
  std::string error;
  EXPECT_LT(peak_heap_bytes([&] { error = error_of([&] { run_record(SafetensorsFile(folder / "t")); }); }),
            text.size() + (std::size_t{64} << 20));
  EXPECT_LT(error.size(), 1000u);
  return error;
}

TEST(CheckpointRecord, WhatNoRunWritesIsRefused) {
  const std::string good = record_text();
  EXPECT_EQ(record_error(good), "");
  for (const auto& [from, to] : std::initializer_list<std::pair<std::string, std::string>>{
           {"\"version\":2", "\"version\":0"},
           {"\"phase\":1", "\"phase\":3"},
           {"\"phase\":1", "\"phase\":2"},  // without the best of phase 1
           {"\"epoch\":1", "\"epoch\":0"},
           {"\"epoch\":1", "\"epoch\":1e300"},
           {"\"epoch\":1", "\"epoch\":9223372036854775807"},
           {"\"batch\":0", "\"batch\":-1"},
           {"\"batch\":0", "\"batch\":0.5"},
           {"\"batch\":0", "\"batch\":null"},
           {"\"dropped\":0", "\"dropped\":-1"},
           {"\"seed\":\"1\"", "\"seed\":1"},
           {"\"options\"", "\"option\""},
           {"\"state\"", "\"\\u001b[31m\""}}) {
    std::string text = good;
    ASSERT_NE(text.find(from), std::string::npos) << from << " in " << text;
    const std::string error = record_error(text.replace(text.find(from), from.size(), to));
    EXPECT_NE(error.find("the record of the run is damaged: "), std::string::npos) << to << ": " << error;
    EXPECT_EQ(error.find('\x1b'), std::string::npos) << error;
  }
  EXPECT_NE(record_error("").find("damaged"), std::string::npos);
  EXPECT_NE(record_error("[]").find("damaged"), std::string::npos);
  EXPECT_NE(record_error(std::string(16'000'000, '[')).find("16000000 bytes"), std::string::npos);
  EXPECT_NE(record_error(std::string(1'000'000, '[')).find("damaged"), std::string::npos);
}

TEST(CheckpointOfAUNet, NoSmallFileAsksForALargeModel) {
  const TemporaryFolder folder;
  const std::vector<float> zeros(4096 * 9);
  const auto error = [&](std::vector<std::int64_t> deepest) {
    write_safetensors(folder / "t", {},
                      {{"inc.double_conv.0.weight", SafeDtype::kF32, {4096, 1, 3, 3}, zeros.data(), {}},
                       {"down4.maxpool_conv.1.double_conv.0.weight", SafeDtype::kF32, deepest, zeros.data(), {}},
                       {"outc.conv.weight", SafeDtype::kF32, {2, 4096, 1, 1}, zeros.data(), {}}});
    return error_of([&] { models::describe(models::registry(), SafetensorsFile(folder / "t")); });
  };
  const std::string wide = error({64, 64, 3, 3});
  EXPECT_NE(wide.find("4096 base channels"), std::string::npos) << wide;
  EXPECT_NE(wide.find("would have 32768 input channels, it has 64"), std::string::npos) << wide;
  EXPECT_NE(error({0, 32768, 3, 3}).find("holds no unet"), std::string::npos);
}

TEST(Checkpoint, AFlippedBitOfATensorIsRefusedByName) {
  const TemporaryFolder folder;
  const Training saved(3);
  save_training(folder / "good", saved.parameters, *saved.optimizer, {});
  const std::string whole = read_file(folder / "good");
  const std::size_t data = 8 + static_cast<std::size_t>(static_cast<unsigned char>(whole[0])) +
                           256 * static_cast<std::size_t>(static_cast<unsigned char>(whole[1]));
  Training model(4);
  const std::string before = model.bytes();
  std::vector<TensorInfo> tensors = SafetensorsFile(folder / "good").tensors();
  ASSERT_EQ(tensors.size(), 8u);
  for (const TensorInfo& info : tensors) {
    for (std::size_t bit = 0; bit < 8 * info.bytes(); bit += 5) {
      std::string flipped = whole;
      char& byte = flipped[data + info.begin + bit / 8];
      byte = static_cast<char>(byte ^ 1 << bit % 8);
      write_file(folder / "bad", flipped);
      const std::string error =
          error_of([&] { load_training(SafetensorsFile(folder / "bad"), model.parameters, *model.optimizer); });
      EXPECT_NE(error.find((folder / "bad").string() + ": \"" + info.name + "\""), std::string::npos) << error;
      EXPECT_NE(error.find("nothing was loaded"), std::string::npos) << error;
      EXPECT_NE(error_of([&] { verify_checksums(SafetensorsFile(folder / "bad")); }).find(info.name + "\" is damaged"),
                std::string::npos);
      ASSERT_TRUE(model.bytes() == before) << error;
    }
  }
}

TEST(Checkpoint, WithoutChecksumsItLoadsAsAnyOtherFile) {
  const TemporaryFolder folder;
  const Training saved(3);
  save_training(folder / "good", saved.parameters, *saved.optimizer, {{"k", "v"}});
  Pieces pieces(folder / "good");
  reinterpret_cast<float*>(pieces.data[0].data())[0] = 0.125f;
  write_safetensors(folder / "changed", pieces.metadata, pieces.entries);
  Training loaded(4);
  const std::string error =
      error_of([&] { load_training(SafetensorsFile(folder / "changed"), loaded.parameters, *loaded.optimizer); });
  EXPECT_NE(error.find("leaves out the metadata \"checksum."), std::string::npos) << error;
  EXPECT_EQ(std::erase_if(pieces.metadata, [](const auto& entry) { return entry.first.starts_with("checksum."); }), 8u);
  EXPECT_EQ(pieces.metadata, (Metadata{{"k", "v"}}));
  write_safetensors(folder / "changed", pieces.metadata, pieces.entries);
  load_training(SafetensorsFile(folder / "changed"), loaded.parameters, *loaded.optimizer);
  verify_checksums(SafetensorsFile(folder / "changed"));
}

TEST(Checkpoint, TheDigestIsThatOfTheWeights) {
  const TemporaryFolder folder;
  const Training saved(3), other(5);
  const std::uint64_t digest = save_model(folder / "a", saved.parameters, {{"k", "v"}});
  EXPECT_EQ(save_model(folder / "b", saved.parameters, {}), digest);
  EXPECT_NE(save_model(folder / "c", other.parameters, {}), digest);
  save_training(folder / "t", saved.parameters, *saved.optimizer, {});
  Training loaded(4);
  EXPECT_EQ(load_model(SafetensorsFile(folder / "a"), loaded.parameters), digest);
  EXPECT_EQ(load_model(SafetensorsFile(folder / "t"), loaded.parameters), digest);
  EXPECT_NE(load_model(SafetensorsFile(folder / "c"), loaded.parameters), digest);
}

class CheckpointDamage : public testing::Test {
 protected:
  void SetUp() override {
    const Training saved(3);
    save_training(folder_ / "good", saved.parameters, *saved.optimizer, {{kRunRecordKey, record_text()}});
    whole_ = read_file(folder_ / "good");
    before_ = model_.bytes();
  }

  /// Loads, as a resume does; true if all of it was accepted. Whatever is refused has changed nothing.
  bool load(const std::string& bytes) {
    const int descriptor = ::memfd_create("checkpoint", MFD_CLOEXEC);
    const fs::path path = fmt::format("/proc/self/fd/{}", descriptor);
    write_file(path, bytes);
    const std::string error = error_of([&] {
      const SafetensorsFile file(path);
      differences(run_record(file), now_, {});
      load_training(file, model_.parameters, *model_.optimizer);
    });
    ::close(descriptor);
    if (!error.empty()) {
      EXPECT_TRUE(model_.bytes() == before_) << error;
    }
    before_ = model_.bytes();
    return error.empty();
  }

  const TemporaryFolder folder_;
  Training model_{4};
  std::string whole_, before_;
  const RunRecord now_{{}, {{"epochs", "25"}, {"phase2-epochs", "8"}, {"seed", "1"}}, "", "", {}};
};

TEST_F(CheckpointDamage, CutAtEveryByte) {
  EXPECT_TRUE(load(whole_));
  for (std::size_t size = 0; size < whole_.size(); ++size) EXPECT_FALSE(load(whole_.substr(0, size))) << size;
}

TEST_F(CheckpointDamage, EveryHeaderBitFlipped) {
  ASSERT_GT(whole_.rfind('}'), 700u);
  int accepted = 0, flips = 0;
  for (std::size_t bit = 0; bit <= whole_.rfind("}}") * 8; ++bit, ++flips) {
    std::string flipped = whole_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    accepted += load(flipped);
  }
  EXPECT_LT(accepted, flips / 2);  // digits of figures in the record may change
}

TEST_F(CheckpointDamage, ChangedAtRandom) {
  const int rounds = long_run() ? 200'000 : 3'000;
  std::mt19937 random(20240229);
  const std::size_t record = whole_.find(kRunRecordKey), end = whole_.rfind("}}");
  ASSERT_LT(record, end);
  for (int round = 0; round < rounds; ++round) {
    std::string changed = whole_;
    const bool anywhere = round % 2 == 0;  // else in the record, by characters of JSON: the file itself stays sound
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
      const std::size_t at = anywhere ? random() % changed.size() : record + random() % (end - record);
      changed[at] = anywhere ? static_cast<char>(random()) : "0123456789-+.eE[]{},:ntf"[random() % 24];
    }
    load(changed);
  }
}

}  // namespace
}  // namespace unet::tests::checkpoint_test
