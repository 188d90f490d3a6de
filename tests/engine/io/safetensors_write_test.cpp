// The writer: what it writes is read back by our reader and by readers that are not ours.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/core/error.h"
#include "engine/io/safetensors.h"
#include "tests/support/file_support.h"
#include "tests/support/places.h"

namespace unet::tests::safetensors_write_test {
namespace {

const std::vector<float> kWeight = {1, -2.5f, 0.15625f, 4, 5, 6};
const std::int64_t kCount = 1234567890123;
const std::uint8_t kBytes[] = {0, 255, 7};
const std::map<std::string, std::string> kMetadata = {{"epoch", "3"}, {"odd \"key\"\n", "\xc3\xa9 \xe7\x8c\xab\t\\"}};

std::vector<SafetensorsEntry> sample() {
  return {{"layer.bytes", SafeDtype::kU8, {3}, kBytes, {}},
          {"z.weight", SafeDtype::kF32, {2, 3, 1, 1}, kWeight.data(), {}},
          {"bn.num_batches_tracked", SafeDtype::kI64, {}, &kCount, {}},
          {"a \xc3\xa9\x1b", SafeDtype::kBF16, {0, 4}, nullptr, {}},
          {"layer.flags", SafeDtype::kBool, {1, 2}, kBytes, {}}};
}

TEST(SafetensorsWrite, ReadsBackWithTheSameBytes) {
  const TemporaryFolder folder;
  write_safetensors(folder / "t.safetensors", kMetadata, sample());
  EXPECT_EQ(folder.names(), std::vector<std::string>{"t.safetensors"});
  const SafetensorsFile file(folder / "t.safetensors");
  EXPECT_EQ(file.metadata(), kMetadata);
  // By descending alignment, then name.
  std::vector<std::string> names;
  for (const TensorInfo& info : file.tensors()) names.push_back(info.name);
  EXPECT_EQ(names, (std::vector<std::string>{"bn.num_batches_tracked", "z.weight", "a \xc3\xa9\x1b", "layer.bytes",
                                             "layer.flags"}));
  for (const SafetensorsEntry& entry : sample()) {
    const TensorInfo* info = file.find(entry.name);
    ASSERT_NE(info, nullptr) << entry.name;
    EXPECT_EQ(info->dtype, entry.dtype);
    EXPECT_EQ(info->shape, entry.shape);
    EXPECT_EQ(info->begin % safe_dtype_size(entry.dtype), 0u);
    std::vector<char> data(info->bytes() + 1);
    file.read(*info, data.data());
    EXPECT_TRUE(entry.data == nullptr || std::memcmp(data.data(), entry.data, info->bytes()) == 0) << entry.name;
  }
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_EQ(file.find(""), nullptr);
  const std::string bytes = read_file(folder / "t.safetensors");
  EXPECT_EQ(static_cast<unsigned char>(bytes[0]) % 8, 0);
  auto reversed = sample();
  std::reverse(reversed.begin(), reversed.end());
  write_safetensors(folder / "again.safetensors", kMetadata, reversed);
  EXPECT_EQ(read_file(folder / "again.safetensors"), bytes);
}

TEST(SafetensorsWrite, FunctionFillsChunkAfterChunk) {
  const TemporaryFolder folder;
  std::vector<std::int32_t> values(700'000);
  std::iota(values.begin(), values.end(), 0);
  std::uint64_t expected = 0;
  const auto fill = [&](std::uint64_t offset, std::span<std::byte> chunk) {
    EXPECT_EQ(offset, expected);
    EXPECT_EQ(chunk.size() % 4, 0u);
    EXPECT_LE(chunk.size(), std::size_t{1} << 20);
    std::memcpy(chunk.data(), reinterpret_cast<const std::byte*>(values.data()) + offset, chunk.size());
    expected += chunk.size();
  };
  write_safetensors(folder / "t", {}, {{"v", SafeDtype::kI32, {700, 1000}, nullptr, fill}});
  const SafetensorsFile file(folder / "t");
  std::vector<std::int32_t> back(values.size());
  file.read(*file.find("v"), back.data());
  EXPECT_EQ(back, values);
}

TEST(SafetensorsWrite, RefusesWhatNobodyCouldReadAndLeavesTheOldFile) {
  const TemporaryFolder folder;
  write_file(folder / "t", "old");
  const float value = 1;
  const auto error = [&](std::vector<SafetensorsEntry> entries, std::map<std::string, std::string> metadata = {}) {
    return error_of([&] { write_safetensors(folder / "t", metadata, entries); });
  };
  const auto entry = [&](const char* name, std::vector<std::int64_t> shape) {
    return SafetensorsEntry{name, SafeDtype::kF32, shape, &value, {}};
  };
  EXPECT_NE(error({entry("w", {}), entry("w", {1})}).find("\"w\" is named twice"), std::string::npos);
  EXPECT_NE(error({entry("__metadata__", {})}).find("keeps for itself"), std::string::npos);
  EXPECT_NE(error({entry("w", {-1})}).find("negative"), std::string::npos);
  EXPECT_NE(error({entry("w", {1LL << 62, 4})}).find("overflows"), std::string::npos);
  EXPECT_NE(error({entry("\xff", {})}).find("UTF-8"), std::string::npos);
  EXPECT_NE(error({}, {{"k", "\xc0\xaf"}}).find("UTF-8"), std::string::npos);
  EXPECT_NE(error({entry("w", std::vector<std::int64_t>(9, 1))}).find("dimensions"), std::string::npos);
  EXPECT_NE(error({{"w", SafeDtype::kF32, {1}, nullptr, {}}}).find("neither data"), std::string::npos);
  // A function that throws leaves nothing behind.
  const SafetensorsEntry broken = {
      "w", SafeDtype::kF32, {1}, nullptr, [](auto, auto) { throw Error("lost {}", "it"); }};
  EXPECT_EQ(error({broken}), "lost it");
  EXPECT_EQ(read_file(folder / "t"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"t"});
}

TEST(SafetensorsWrite, StrictPythonReaderOpensIt) {
  const TemporaryFolder folder;
  write_safetensors(folder / "t", kMetadata, sample());
  const CommandResult python =
      run_command("python3 " + shell_quoted(places::source("tests/engine/io/strict_safetensors.py")) + " " +
                  shell_quoted(folder / "t"));
  if (python.status == 127) GTEST_SKIP() << "python3 is absent";
  EXPECT_EQ(python.status, 0);
  EXPECT_EQ(python.output,
            "\"bn.num_batches_tracked\" I64 [] cb04fb711f010000\n"
            "\"z.weight\" F32 [2,3,1,1] 0000803f000020c00000203e000080400000a0400000c040\n"
            "\"a \\u00e9\\u001b\" BF16 [0,4] \n"
            "\"layer.bytes\" U8 [3] 00ff07\n"
            "\"layer.flags\" BOOL [1,2] 00ff\n"
            "{\"epoch\":\"3\",\"odd \\\"key\\\"\\n\":\"\\u00e9 \\u732b\\t\\\\\"}\n");
}

TEST(SafetensorsWrite, SafetensorsPackageOpensIt) {
  const TemporaryFolder folder;
  if (run_command("python3 -c 'import safetensors, numpy'").status != 0) {
    GTEST_SKIP() << "the Python packages safetensors and numpy are absent";
  }
  std::vector<SafetensorsEntry> entries = sample();
  std::erase_if(entries, [](const SafetensorsEntry& entry) { return entry.dtype == SafeDtype::kBF16; });
  write_safetensors(folder / "t", kMetadata, entries);
  const CommandResult python = run_command(
      "python3 -c 'import sys, safetensors\n"
      "f = safetensors.safe_open(sys.argv[1], \"np\")\n"
      "print(*(f\"{k} {list(f.get_tensor(k).shape)} {f.get_tensor(k).sum():g}\" for k in sorted(f.keys())), "
      "sep=\"\\n\")\n"
      "print(f.metadata()[\"epoch\"])' " +
      shell_quoted(folder / "t"));
  EXPECT_EQ(python.status, 0);
  EXPECT_EQ(python.output,
            "bn.num_batches_tracked [] 1.23457e+12\nlayer.bytes [3] 262\nlayer.flags [1, 2] 1\nz.weight [2, 3, 1, 1] "
            "13.6562\n3\n");
}

}  // namespace
}  // namespace unet::tests::safetensors_write_test
