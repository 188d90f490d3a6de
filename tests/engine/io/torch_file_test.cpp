// PyTorch's files: what they hold, and files that want to harm their reader.
#include "engine/io/torch_file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <sstream>

#include "engine/io/safetensors.h"
#include "tests/support/data_support.h"
#include "tests/support/file_support.h"
#include "tests/support/long_run.h"
#include "tests/support/places.h"
#include "tests/support/torch_writer.h"

namespace unet::tests::torch_file_test {
namespace {

using namespace std::string_literals;
namespace fs = std::filesystem;
using test::expect_parts;

struct Read {
  std::string error;                           // "": accepted
  std::map<std::string, std::string> tensors;  // name to dtype, shape and bytes
  std::vector<std::string> notes;
};

/// Opens and reads all; fails the test where that costs more than a hostile file may.
Read read(const fs::path& path) {
  Read out;
  const double start = processor_seconds();
  const std::size_t heap = peak_heap_bytes([&] {
    out.error = error_of([&] {
      const std::unique_ptr<TensorFile> file = open_tensor_file(path);
      std::string data;
      for (const TensorInfo& info : file->tensors()) {
        data.resize(info.bytes());
        file->read(info, data.data());
        EXPECT_EQ(file->find(info.name), &info);
      }
    });
  });
  EXPECT_LT(processor_seconds() - start, test::sanitized ? 10 : 1) << path;
  EXPECT_LT(heap, fs::file_size(path) + (std::size_t{64} << 20)) << path;
  EXPECT_LT(out.error.size(), 1000u) << out.error;
  EXPECT_EQ(out.error.find('\x1b'), std::string::npos) << out.error;
  if (!out.error.empty()) {
    EXPECT_NE(out.error.find(path.string()), std::string::npos) << out.error;
    return out;
  }
  const std::unique_ptr<TensorFile> file = open_tensor_file(path);
  out.notes = file->notes();
  EXPECT_TRUE(file->metadata().empty());
  for (const TensorInfo& info : file->tensors()) {
    std::string data(info.bytes(), '\0');
    file->read(info, data.data());
    std::string shape;
    for (const std::int64_t size : info.shape) shape += fmt::format(" {}", size);
    out.tensors[info.name] = fmt::format("{}{}: ", safe_dtype_name(info.dtype), shape) + data;
  }
  return out;
}

Read read_bytes(std::string_view bytes) {
  const int descriptor = ::memfd_create("t", MFD_CLOEXEC);
  const fs::path path = "/proc/self/fd/" + std::to_string(descriptor);
  write_file(path, bytes);
  Read out = read(path);
  ::close(descriptor);
  return out;
}

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}
const std::string kSix = bytes_of({0, 1, 2, 3, 4, 5});
const std::string kStorage = pickled_storage("FloatStorage", "0", 6);
/// A view of the six.
std::string view(std::int64_t offset, const std::vector<std::int64_t>& shape,
                 const std::vector<std::int64_t>& strides) {
  return pickled_view(kStorage, offset, shape, strides);
}
Read read_view(std::int64_t offset, const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  return read_bytes(torch_file(pickled_dict({{"w", view(offset, shape, strides)}}), {kSix}));
}
void expect_refused(const std::string& root, const std::vector<std::string>& parts,
                    const std::vector<std::string>& storages = {kSix}) {
  expect_parts(read_bytes(torch_file(root, storages)).error, parts);
}
std::string small_file() {
  return torch_file(pickled_dict({{"conv.weight", view(0, {2, 1, 1, 2}, {2, 1, 1, 1})},
                                  {"bias", pickled_parameter(view(4, {2}, {1}))},
                                  {"n", pickled_view(pickled_storage("LongStorage", "1", 1), 0, {}, {})},
                                  {"mask_values", "]K\1a"}}),
                    {kSix, little(7, 8)});
}

TEST(TorchFile, HoldsViewsOfStorages) {
  const Read whole = read_bytes(small_file());
  EXPECT_EQ(whole.error, "");
  EXPECT_EQ(whole.tensors,
            (std::map<std::string, std::string>{{"conv.weight", "F32 2 1 1 2: " + bytes_of({0, 1, 2, 3})},
                                                {"bias", "F32 2: " + bytes_of({4, 5})},
                                                {"n", "I64: " + little(7, 8)}}));
  EXPECT_EQ(whole.notes, std::vector<std::string>{"passed over, for they are no tensors: \"mask_values\""});
  const auto expect = [](std::int64_t offset, const std::vector<std::int64_t>& shape,
                         const std::vector<std::int64_t>& strides, const std::vector<float>& values) {
    const Read out = read_view(offset, shape, strides);
    EXPECT_EQ(out.error, "");
    const std::string text = out.tensors.count("w") != 0 ? out.tensors.at("w") : "";
    EXPECT_EQ(text.substr(text.find(':') + 2), bytes_of(values));
  };
  expect(0, {2, 3}, {3, 1}, {0, 1, 2, 3, 4, 5});
  expect(0, {3, 2}, {1, 3}, {0, 3, 1, 4, 2, 5});
  expect(1, {2, 2}, {3, 1}, {1, 2, 4, 5});
  expect(1, {3}, {2}, {1, 3, 5});
  expect(5, {}, {}, {5});
  expect(2, {2, 2}, {0, 0}, {2, 2, 2, 2});
  expect(1, {1, 2, 1}, {1'000'000'000, 3, INT64_MAX}, {1, 4});
  expect(0, {1, 3, 2, 1}, {6, 1, 3, 3}, {0, 3, 1, 4, 2, 5});
  for (const std::int64_t offset : {0, 6}) expect(offset, {5, 0, 2}, {INT64_MAX, INT64_MAX, INT64_MAX}, {});
  for (const auto& [type, dtype] : std::vector<std::pair<std::string, std::string>>{{"HalfStorage", "F16"},
                                                                                    {"BFloat16Storage", "BF16"},
                                                                                    {"IntStorage", "I32"},
                                                                                    {"DoubleStorage", "F64"},
                                                                                    {"LongStorage", "I64"},
                                                                                    {"ByteStorage", "U8"},
                                                                                    {"BoolStorage", "BOOL"}}) {
    const std::int64_t size = dtype == "U8" || dtype == "BOOL"            ? 1
                              : (dtype[dtype.size() - 2] - '0') % 10 == 1 ? 2
                              : dtype.ends_with("32")                     ? 4
                                                                          : 8;
    const std::string storage = pickled_storage(type, "0", 24 / size);
    const Read out = read_bytes(torch_file(pickled_dict({{"w", pickled_view(storage, 1, {1}, {1})}}), {kSix}));
    EXPECT_EQ(out.error, "");
    EXPECT_EQ(out.tensors.at("w"),
              dtype + " 1: " + kSix.substr(static_cast<std::size_t>(size), static_cast<std::size_t>(size)));
  }
}

TEST(TorchFile, TakesTheDictionaryOfTensors) {
  const std::string state = pickled_dict({{"w", view(0, {6}, {1})}}), none = pickled_dict({{"lr", "K\1"}});
  using Lines = std::vector<std::string>;
  for (const std::string outer : {"state_dict", "model_state_dict", "model", "net"}) {
    const Read out = read_bytes(torch_file(
        pickled_dict({{"epoch", "K\1"}, {outer, state}, {"best", view(0, {}, {})}, {"optimizer", state}}), {kSix}));
    EXPECT_EQ(out.error, "");
    EXPECT_EQ(out.tensors.size(), 1u);
    EXPECT_EQ(out.notes, Lines{"the dictionary \"" + outer + "\" of the file is taken"});
  }
  expect_refused(pickled_dict({{"model", state}, {"net", state}}),
                 {"more than one dictionary of tensors, the second \"net\""});
  EXPECT_EQ(read_bytes(torch_file(pickled_dict({{"model", state}, {"net", none}}), {kSix})).error, "");
  EXPECT_EQ(read_bytes(torch_file(pickled_dict({{"model", none}}), {kSix})).notes,
            Lines{"passed over, for they are no tensors: \"model\""});
  const Read many = read_bytes(torch_file(
      pickled_dict({{"a", "N"}, {"w", view(0, {6}, {1})}, {"b\x1b[2J", "]"}, {"c", "\x88"}, {"d", state}, {"e", "N"}}),
      {kSix}));
  EXPECT_EQ(many.notes, Lines{"passed over, for they are no tensors: \"a\", \"b\\x1b[2J\", \"c\", 2 more"});
  // A model of its own that it holds.
  EXPECT_EQ(
      read_bytes(torch_file("}q\1" + pickled("model") + "h\1s" + pickled("w") + view(0, {6}, {1}) + "s", {kSix})).error,
      "");
}

TEST(TorchFile, ViewsThatLeaveTheirStorageAreRefused) {
  constexpr std::int64_t kMost = INT64_MAX;
  for (const auto& [offset, shape, strides] :
       std::vector<std::tuple<std::int64_t, std::vector<std::int64_t>, std::vector<std::int64_t>>>{
           {0, {7}, {1}},
           {1, {6}, {1}},
           {6, {}, {}},
           {7, {0}, {1}},
           {kMost, {}, {}},
           {kMost, {0}, {1}},
           {0, {2}, {6}},
           {0, {2}, {kMost}},
           {0, {3}, {kMost}},
           {1, {2, 2}, {kMost, kMost}},
           {1, {3, 2}, {kMost, 1}},
           {0, {2, 3}, {4, 1}},
           {kMost, {2}, {kMost}},
           {1, {3, 3}, {kMost, kMost}}}) {
    expect_parts(read_view(offset, shape, strides).error,
                 {"tensor \"w\" reaches beyond its storage \"m/data/0\" of 24 bytes"});
  }
  for (const auto& [shape, strides] : std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{
           {{kMost, kMost}, {0, 0}}, {{kMost}, {0}}, {{std::int64_t{1} << 32, std::int64_t{1} << 32, 4}, {0, 0, 0}}}) {
    expect_parts(read_view(0, shape, strides).error, {"tensor \"w\" has a shape whose size overflows 64 bits"});
  }
  expect_parts(read_view(0, {std::int64_t{1} << 40}, {0}).error, {"tensor \"w\" makes the tensors larger than "});
  expect_parts(read_view(-1, {1}, {1}).error, {"tensor \"w\" has a negative offset (-1)"});
  expect_parts(read_view(0, {-1}, {1}).error, {"has a negative size (-1)"});
  expect_parts(read_view(5, {2}, {-1}).error, {"has a negative stride (-1)"});
  expect_parts(read_view(0, {INT64_MIN, 2}, {1, 1}).error, {"has a negative size"});
  expect_parts(read_view(0, {2, 3}, {1}).error, {"is described in a way that is unknown here"});
  expect_parts(read_view(0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1)).error,
               {"has 9 dimensions, at most 8"});
}

TEST(TorchFile, WhatIsNoDictionaryOfTensorsIsRefused) {
  const std::string good = view(0, {6}, {1});
  expect_refused("]", {"it holds no dictionary"});
  expect_refused(good, {"it holds no dictionary"});
  expect_refused("}K\1" + good + "s", {"a key that is no text"});
  expect_refused("}(" + pickled("w") + good + pickled("w") + good + "u", {"tensor \"w\" is named twice"});
  expect_refused(pickled_dict({{std::string(5000, 'x'), good}}), {"has a name of 5000 bytes, at most 4096"});
  const auto refused = [](const std::string& value, const char* reason) {
    expect_refused(pickled_dict({{"a\x1b[2J", value}}), {"tensor \"a\\x1b[2J\" ", reason});
  };
  const char* unknown = "is described in a way that is unknown here";
  const std::string rebuild = pickled_global("torch._utils", "_rebuild_tensor_v2");
  refused(rebuild + ")R", unknown);
  refused(pickled_global("torch", "FloatStorage") + ")R", unknown);
  refused(rebuild + pickled_tuple({"N", "N", "N", "N", "N", "N"}) + "R", unknown);
  refused(rebuild + pickled_tuple({kStorage, "N", ")", ")", "N", "N"}) + "R", unknown);
  refused(rebuild + pickled_tuple({kStorage, "K\1", "]", ")", "N", "N"}) + "R", unknown);
  refused(rebuild + pickled_tuple({kStorage, "K\1", "(\x88t", "(K\1t", "N", "N"}) + "R", unknown);
  refused(pickled_parameter("N"), unknown);
  refused(pickled_parameter(pickled_parameter(good)), unknown);
  const auto stored = [&](const std::string& id, const char* reason) {
    refused(pickled_view(id + "Q", 0, {1}, {1}), reason);
  };
  const std::string type = pickled_global("torch", "FloatStorage"), cpu = pickled("cpu"), six = pickled(6);
  stored("N", unknown);
  stored(pickled_tuple({pickled("storage"), type, pickled("0"), cpu}), unknown);
  stored(pickled_tuple({pickled("module"), type, pickled("0"), cpu, six}), unknown);
  stored(pickled_tuple({pickled("storage"), pickled("torch\nFloatStorage"), pickled("0"), cpu, six}), unknown);
  stored(pickled_tuple({pickled("storage"), rebuild, pickled("0"), cpu, six}), unknown);
  stored(pickled_tuple({pickled("storage"), type, six, cpu, six}), unknown);
  stored(pickled_tuple({pickled("storage"), type, pickled("1"), cpu, six}),
         "lies in the storage \"1\", which is not there");
  stored(pickled_tuple({pickled("storage"), type, pickled("../byteorder"), cpu, six}), "which is not there");
  for (const std::int64_t elements : {0, 5, 7, 24}) {
    stored(pickled_tuple({pickled("storage"), type, pickled("0"), cpu, pickled(elements)}), "which should hold");
  }
  stored(pickled_tuple({pickled("storage"), type, pickled("0"), cpu, pickled(-6)}), "negative number of elements");
  expect_refused(pickled_dict({{"w", pickled_view(pickled_storage("DoubleStorage", "0", 3), 0, {1}, {1})}}),
                 {"which should hold 3 elements of F64"}, {kSix + "x"});
  // Of the archive.
  const auto archive = [](const Parts& parts) { return read_bytes(zip_of(parts)).error; };
  const std::string pickle = pickle_of(pickled_dict({{"w", good}}));
  EXPECT_EQ(archive({{"m/data.pkl", pickle}, {"m/data/0", kSix}}), "");
  expect_parts(archive({{"m/data.pkl", pickle}, {"n/data/0", kSix}}), {"which is not there"});
  expect_parts(archive({{"data.pkl", pickle}}), {"holds no NAME/data.pkl"});
  expect_parts(archive({{"m/data.pkl", pickle}, {"n/data.pkl", pickle}}),
               {"it holds both \"m/data.pkl\" and \"n/data.pkl\""});
  for (const char* order : {"big", "bigend", ""}) {
    expect_parts(archive({{"m/data.pkl", pickle}, {"m/data/0", kSix}, {"m/byteorder", order}}), {"not little-endian"});
  }
  expect_parts(archive({{"m/data.pkl", std::string(17 << 20, 'x')}}),
               {"its pickle has 17825792 bytes, at most 16777216"});
}

TEST(TorchFile, ThatWouldRunCodeRunsNone) {
  const TemporaryFolder folder;
  const std::string command = "touch " + (folder / "ran").string();
  for (const char* module : {"os", "posix", "nt"}) {
    const std::string call = pickled_global(module, "system") + pickled_tuple({pickled(command)}) + "R";
    for (const std::string& root :
         {call, pickled_dict({{"w", call}}), pickled_dict({{"w", view(0, {6}, {1})}, {"x", call}})}) {
      expect_refused(
          root,
          {fmt::format("it asks for \"{}.system\", which no dictionary of tensors needs; nothing was run.", module),
           "python3 -c \"import sys, torch; m = torch.load(sys.argv[1], 'cpu', weights_only=False)",
           "use it where you trust who made the file"});
    }
  }
  expect_refused("(" + pickled(command) + "ios\nsystem\n", {"the instruction INST"});
  EXPECT_FALSE(fs::exists(folder / "ran"));
}

TEST(TorchFile, IsKnownByItsFirstBytesAlone) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& bytes, const std::vector<std::string>& parts) {
    write_file(folder / "model.safetensors", bytes);
    expect_parts(read(folder / "model.safetensors").error, parts);
  };
  write_file(folder / "t.safetensors", small_file());
  EXPECT_EQ(read(folder / "t.safetensors").error, "");
  write_file(folder / "t.pth", safetensors_file("{}", ""));
  EXPECT_EQ(read(folder / "t.pth").error, "");
  // Headers of safetensors whose length begins as other files do.
  for (const std::uint64_t length : {std::uint64_t{0x0280}, std::uint64_t{0x04034b50}}) {
    EXPECT_EQ(read_bytes(safetensors_file("{}" + std::string(length - 2, ' '), "")).error, "");
  }
  const char* convert = "weights_only=True); torch.save(m, 'converted.pth')\" ";
  expect("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.",
         {"it is a bare pickle, as PyTorch wrote before 1.6", convert});
  expect("\x80\x04\x95" + std::string(20, 'x'), {"it is a bare pickle", convert});
  std::string tar(512, '\0');
  expect(tar.replace(0, 8, "sys_info").replace(257, 5, "ustar"),
         {"it is a tar archive, as PyTorch wrote before 0.2", convert});
  expect("PK\3\4 and no more",
         {"is no dictionary of tensors that PyTorch saved", "shorter than the end of a zip archive"});
  for (const std::string& bytes : {""s, "PK\3\4"s, "\x80\x02"s, std::string(600, 'x')}) {
    expect(bytes, {"is not a valid safetensors file"});
  }
  expect_parts(error_of([&] { open_tensor_file(folder / "absent"); }), {"absent", "No such file"});
  expect_parts(error_of([&] { open_tensor_file(folder.path()); }), {"not a regular file"});
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_parts(error_of([&] { open_tensor_file(folder / "pipe"); }), {"not a regular file"});
}

TEST(TorchFile, SharedStoragesAreBoundedByTheFile) {
  std::string sum(4 << 20, '\1');
  const std::string storage = pickled_storage("ByteStorage", "0", 4 << 20);
  const auto shared = [&](int times, const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
    Entries entries;
    for (int i = 0; i < times; ++i) entries.emplace_back(std::to_string(i), pickled_view(storage, 0, shape, strides));
    return read_bytes(torch_file(pickled_dict(entries), {sum})).error;
  };
  EXPECT_EQ(shared(4, {4 << 20}, {1}), "");
  expect_parts(shared(5, {4 << 20}, {1}), {"tensor \"4\" makes the tensors larger than ", ", 4 times the file"});
  EXPECT_EQ(shared(4, {2}, {(4 << 20) - 1}), "");
  expect_parts(shared(5, {2}, {(4 << 20) - 1}), {"tensor \"4\" makes the tensors larger than "});
  expect_parts(shared(1, {4 << 20, 5}, {1, 0}), {"tensor \"0\" makes the tensors larger than "});
  // One description, taken again and again.
  const auto repeated_view = [&](int times, const std::string& value) {
    std::string root = "}(" + pickled("first") + value + "q\1";
    for (int i = 0; i < times; ++i) {
      root += pickled(std::to_string(i)) + "h\1";
      if (i % 1000 == 0) root += "u(";
    }
    return read_bytes(torch_file(root + "u", {kSix})).error;
  };
  EXPECT_EQ(repeated_view(30'000, view(0, {0, 1, 1, 1, 1, 1, 1, 1}, std::vector<std::int64_t>(8, INT64_MAX))), "");
  expect_parts(repeated_view(40'000, view(0, {0}, {1})), {"is one too many: at most 32768 are read"});
}

TEST(TorchFile, ADictionaryThatNamesThingsAgainAndAgainCostsLittle) {
  // A long name, kept and given to all tensors.
  std::string names = "}" + pickled(std::string(4096, 'n')) + "q\2" + view(0, {0}, {1}) + "q\1s(";
  for (int i = 1; i < 32'000; ++i) names += i % 1000 == 0 ? "h\2h\1u(" : "h\2h\1";
  expect_refused(names + "u", {"brings the names to more than 16777216 bytes"});
  // A large dictionary without tensors, as the "model" again and again.
  std::string models = "}" + pickled("model") + "q\1}q\2(";
  for (int i = 1; i < 100'000; ++i) models += i % 1000 == 0 ? "h\1h\1u(" : "h\1h\1";
  models += "us(";
  for (int i = 1; i < 100'000; ++i) models += i % 1000 == 0 ? "h\1h\2u(" : "h\1h\2";
  expect_refused(models + "u", {"it holds an entry \"model\" twice"});
}

TEST(TorchFile, CutOrFlippedIsRefusedOrEqual) {
  const std::string whole = small_file();
  const Read expected = read_bytes(whole);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(read_bytes(whole.substr(0, size)).error, "") << size;
  EXPECT_NE(read_bytes(whole + '\0').error, "");
  std::size_t same = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const Read out = read_bytes(flipped);
    if (!out.error.empty()) continue;
    EXPECT_EQ(out.tensors, expected.tensors) << bit;
    ++same;
  }
  EXPECT_GT(same, 100u);
  EXPECT_LT(same, whole.size() * 8 / 2);
}

/// Of pickles whose checksums hold: nothing is known of what comes out, but that it costs little and stays inside.
TEST(TorchFile, DamagedPicklesWithinSoundArchivesNeverCrash) {
  const std::string whole =
      pickle_of(pickled_dict({{"state_dict", pickled_dict({{"conv.weight", view(0, {2, 1, 1, 2}, {2, 1, 1, 1})},
                                                           {"bias", pickled_parameter(view(4, {2}, {1}))}})},
                              {"mask_values", "](K\1K\2e"},
                              {"lr", "G12345678"},
                              {"kept", "Nq\1h\1\x86"}}));
  const auto count = [&](const std::string& pickle) {
    return read_bytes(zip_of({{"m/data.pkl", pickle}, {"m/data/0", kSix}})).error.empty();
  };
  EXPECT_TRUE(count(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(count(whole.substr(0, size))) << size;
  std::size_t accepted = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    accepted += count(flipped);
  }
  EXPECT_GT(accepted, 10u);  // other names
  EXPECT_LT(accepted, whole.size() * 8 / 2);
  std::mt19937 random(3);
  for (int round = 0; round < (long_run() ? 200'000 : 3000); ++round) {
    std::string changed = whole;
    for (int i = 0; i < 3; ++i) changed[random() % changed.size()] = whole[random() % whole.size()];
    count(changed);
  }
}

/// See torch_files.py.
TEST(TorchFile, OfPyTorchIsReadOrRefusedWithTheCommandThatConvertsIt) {
  std::string python;
  for (const std::string candidate : {"python3", "/usr/bin/python3"}) {
    if (python.empty() && run_command(candidate + " -c 'import torch, numpy'").status == 0) python = candidate;
  }
  if (python.empty()) GTEST_SKIP() << "no Python with torch and numpy";
  const TemporaryFolder folder;
  const CommandResult wrote =
      run_command(python + " -B " + shell_quoted(places::source("tests/engine/io/torch_files.py")) + " " +
                  shell_quoted(folder.path()));
  ASSERT_EQ(wrote.status, 0) << wrote.output;
  std::istringstream lines(wrote.output);
  int good = 0, other = 0;
  for (std::string name; lines >> name;) {
    SCOPED_TRACE(name);
    const Read ours = read(folder / name);
    if (name.ends_with(".pth")) {
      const Read expected = read((folder / name).replace_extension(".safetensors"));
      EXPECT_EQ(ours.error + expected.error, "");
      EXPECT_GE(expected.tensors.size(), 5u);
      EXPECT_TRUE(ours.tensors == expected.tensors);
      for (const std::string& note : ours.notes) std::printf("%s: %s\n", name.c_str(), note.c_str());
      ++good;
      continue;
    }
    ++other;
    std::printf("%s\n", ours.error.c_str());
    if (name == "script.other") {
      expect_parts(ours.error, {"of TorchScript, save its state_dict()"});
      continue;
    }
    const std::size_t begin = ours.error.find("python3 -c ");
    ASSERT_NE(begin, std::string::npos) << ours.error;
    const CommandResult converted =
        run_command("cd " + shell_quoted(folder.path()) + " && " + python + ours.error.substr(begin + 7));
    EXPECT_EQ(converted.status, 0) << converted.output;
    const Read expected = read(folder / (name == "whole_model.other" ? "of_whole_model.pth" : "contiguous.pth"));
    EXPECT_TRUE(read(folder / "converted.pth").tensors == expected.tensors);
    fs::remove(folder / "converted.pth");
  }
  EXPECT_EQ(good, 17);
  EXPECT_EQ(other, 4);
}

}  // namespace
}  // namespace unet::tests::torch_file_test
