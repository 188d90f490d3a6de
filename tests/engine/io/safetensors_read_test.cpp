// The reader against files that want to harm it.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <sstream>

#include "engine/core/text.h"
#include "engine/io/safetensors.h"
#include "tests/support/file_support.h"
#include "tests/support/places.h"

namespace unet::tests::safetensors_read_test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHeapLimit = std::size_t{64} << 20;
#if defined(UNET_SANITIZED)  // and not optimized
constexpr double kSecondsLimit = 60;
#else
constexpr double kSecondsLimit = 1;
#endif

struct Verdict {
  std::string error;  // "": accepted
  std::size_t tensors = 0;
};

/// Opens, and reads every tensor; fails the test where that costs more than a hostile file may.
Verdict open_within_limits(const fs::path& path) {
  Verdict verdict;
  const double start = processor_seconds();
  const std::size_t heap = peak_heap_bytes([&] {
    verdict.error = error_of([&] {
      const SafetensorsFile file(path);
      verdict.tensors = file.tensors().size();
      for (const TensorInfo& info : file.tensors()) {
        std::vector<char> data(info.bytes());
        file.read(info, data.data());
        EXPECT_EQ(file.find(info.name), &info);
      }
    });
  });
  EXPECT_LT(processor_seconds() - start, kSecondsLimit) << path;
  EXPECT_LT(heap, fs::file_size(path) + kHeapLimit) << path;
  if (!verdict.error.empty()) {
    EXPECT_NE(verdict.error.find(path.string()), std::string::npos) << verdict.error;
    for (const char c : verdict.error) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << verdict.error;
  }
  return verdict;
}

/// Through a file in memory: some of these are large, and many.
Verdict open_bytes(std::string_view bytes) {
  const int descriptor = ::memfd_create("t.safetensors", MFD_CLOEXEC);
  const fs::path path = "/proc/self/fd/" + std::to_string(descriptor);
  write_file(path, bytes);
  const Verdict verdict = open_within_limits(path);
  ::close(descriptor);
  return verdict;
}

std::string small_file() {
  return safetensors_file(
      R"({"__metadata__":{"epoch":"3"},"bias":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
      R"("weight\u00e9":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},"none":{"dtype":"U8","shape":[0,5],)"
      R"("data_offsets":[16,16]},"n":{"dtype":"BOOL","shape":[],"data_offsets":[16,17]}} )",
      "12345678abcdefghX");
}

TEST(SafetensorsRead, CorpusAsItsTableWants) {
  const fs::path corpus = places::given("corpora/badsafetensors");
  std::ifstream table(corpus / "EXPECT.tsv");
  if (!table) GTEST_SKIP() << "the corpus of broken files is absent: " << corpus;
  std::size_t count = 0;
  for (std::string line; std::getline(table, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream cells(line);
    std::string name, want;
    std::getline(cells, name, '\t');
    std::getline(cells, want, '\t');
    const Verdict verdict = open_within_limits(corpus / (name + ".safetensors"));
    EXPECT_EQ(verdict.error.empty(), want.substr(0, 6) == "accept") << name << ": " << verdict.error;
    ++count;
  }
  EXPECT_GE(count, 52u);
}

TEST(SafetensorsRead, NothingOfACutFileIsAccepted) {
  const std::string whole = small_file();
  EXPECT_EQ(open_bytes(whole).error, "");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(open_bytes(whole.substr(0, size)).error, "") << size;
  }
  EXPECT_NE(open_bytes(whole + '\0').error.find("1 too many"), std::string::npos);
}

// Every flip is accepted or refused as the reader written in Python from the format's description alone does.
TEST(SafetensorsRead, EveryHeaderBitFlippedAgreesWithPythonReader) {
  const TemporaryFolder folder;
  const std::string whole = small_file();
  std::map<std::string, bool> accepted;
  for (std::size_t bit = 0; bit < (whole.size() - 17) * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const std::string name = "flip_" + std::to_string(bit) + ".safetensors";
    write_file(folder / name, flipped);
    accepted[name] = open_within_limits(folder / name).error.empty();
  }
  const CommandResult python =
      run_command("python3 " + shell_quoted(places::source("tests/engine/io/strict_safetensors.py")) + " --verdicts " +
                  shell_quoted(folder.path()));
  if (python.status == 127) GTEST_SKIP() << "compared with nothing: python3 is absent";
  ASSERT_EQ(python.status, 0) << python.output;
  std::istringstream lines(python.output);
  std::size_t count = 0, good = 0;
  for (std::string verdict, name, reason; lines >> verdict >> name && std::getline(lines, reason); ++count) {
    EXPECT_EQ(accepted.at(name), verdict == "accept") << name << reason << "\n" << read_file(folder / name);
    good += accepted.at(name);
  }
  EXPECT_EQ(count, accepted.size());
  EXPECT_GT(good, 20u);  // names and values of the metadata may change
  EXPECT_LT(good, count / 2);
}

TEST(SafetensorsRead, HugeHostileHeadersCostLittle) {
  constexpr std::size_t kMost = 99'000'000, kSize = 30'000'000;
  const auto refused = [&](std::string_view what, const std::string& header) {
    SCOPED_TRACE(what);
    const std::string error = open_bytes(safetensors_file(header, "")).error;
    EXPECT_NE(error, "");
    EXPECT_LT(error.size(), 1000u);
  };
  const auto repeated = [](std::string_view part, std::size_t bytes) {
    std::string text;
    text.reserve(bytes + part.size());
    while (text.size() < bytes) text += part;
    return text;
  };
  EXPECT_EQ(open_bytes(safetensors_file(fmt::format("{{{}}}", std::string(kMost, ' ')), "")).error, "");
  refused("a name without end", "{\"" + std::string(kSize, 'a'));
  refused("escapes without end", "{\"" + repeated("\\u20ac", kSize));
  refused("a value without end", "{\"__metadata__\":{\"k\":\"" + std::string(kSize, 'a') + "\"}}");
  refused("dimensions without end", "{\"t\":{\"shape\":[" + repeated("0,", kSize) + "0]}}");
  refused("objects without end", repeated("{\"a\":", kSize));
  refused("arrays without end", "{\"a\":" + std::string(kSize, '['));
  refused("digits without end", "{\"t\":{\"shape\":[" + std::string(kSize, '9') + "]}}");
  std::string keys = "{\"__metadata__\":{", tensors = "{";
  for (int i = 0; keys.size() < kSize; ++i) keys += fmt::format("\"{}\":\"\",", i);
  refused("keys without end", keys + "\"\":\"\"}}");
  for (int i = 0; tensors.size() < kSize; ++i) {
    tensors += fmt::format(R"("{}":{{"dtype":"U8","shape":[1,1,1,1,1,1,1,0],"data_offsets":[0,0]}},)", i);
  }
  refused("tensors without end", tensors + "\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
  std::string names = "{";
  const std::string filler(4000, 'n');
  for (int i = 0; names.size() < kSize; ++i) {
    names += fmt::format(R"("{}{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},)", filler, i);
  }
  refused("text without end", names + "\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
}

TEST(SafetensorsRead, MessagesNameTensorAndReason) {
  const TemporaryFolder folder;
  const auto error = [&](std::string_view entry, std::string_view data) {
    return open_bytes(safetensors_file(fmt::format("{{{}}}", entry), data)).error;
  };
  const auto expect = [](const std::string& message, std::initializer_list<const char*> parts) {
    for (const char* part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(error(R"("a.weight":{"dtype":"F32","shape":[3],"data_offsets":[0,12]})", "12345678"),
         {"\"a.weight\"", "byte 12", "8 bytes of data", "cut short"});
  expect(error(R"("a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]})", "12345678"),
         {"\"a\"", "8 bytes", "F32", "12"});
  expect(error(R"("a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]})", "1"), {"\"a\"", "F8_E4M3", "BF16"});
  expect(
      error(
          R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})",
          "12"),
      {"\"b\"", "overlap"});
  expect(error(R"("a\u001b[31m\u009b":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]})", "1"),
         {"\"a\\x1b[31m\\xc2\\x9b\"", "shape"});
  EXPECT_NE(error_of([&] { SafetensorsFile file(folder / "absent"); }).find("No such file"), std::string::npos);
  EXPECT_NE(error_of([&] { SafetensorsFile file(folder.path()); }).find("not a regular file"), std::string::npos);
}

TEST(SafetensorsRead, PrintableKeepsTextAndEscapesControls) {
  EXPECT_EQ(printable("pétale µ 猫"), "pétale µ 猫");
  EXPECT_EQ(printable("a\nb\x7f\xff"), "a\\x0ab\\x7f\\xff");
  EXPECT_EQ(printable(std::string(500, 'x')), std::string(120, 'x') + "...");
}

}  // namespace
}  // namespace unet::tests::safetensors_read_test
