// Archives that are what they say, and archives that lie.
#include "engine/io/zip_entries.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/data_support.h"
#include "tests/support/file_support.h"
#include "tests/support/torch_writer.h"

namespace unet::tests::zip_entries_test {
namespace {

using namespace std::string_literals;

const Parts kParts{{"m/data.pkl", "a pickle"}, {"m/data/0", std::string(100, 'x')}, {"m/data/1", ""}, {"m/v", "3\n"}};

class ZipEntries : public testing::Test {
 protected:
  /// "" and the entries with their contents, or the reason.
  std::string read(const std::string& bytes, Parts* out = nullptr) const {
    const int descriptor = ::memfd_create("t", MFD_CLOEXEC);
    const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    write_file(path, bytes);
    std::string error;
    const double start = processor_seconds();
    const std::size_t heap = peak_heap_bytes([&] {
      error = error_of([&] {
        const InputFile file(path);
        for (const ZipEntry& entry : zip_entries(file)) {
          std::string content(entry.bytes, '\0');
          file.read(content.data(), entry.bytes, entry.begin);
          if (out != nullptr) out->emplace_back(entry.name, content);
        }
      });
    });
    ::close(descriptor);
    EXPECT_LT(heap, bytes.size() + (std::size_t{64} << 20));
    EXPECT_LT(processor_seconds() - start, test::sanitized ? 10 : 1);
    return error;
  }
  void expect_refused(const std::string& bytes, const char* reason) const {
    const std::string error = read(bytes);
    EXPECT_NE(error.find(reason), std::string::npos) << error << "\nnot: " << reason;
  }
};

/// The archive with other bytes at `offset` behind the n-th of a signature.
std::string with(std::string bytes, const char* signature, int n, std::size_t offset, const std::string& other) {
  std::size_t at = bytes.find(signature);
  while (n-- > 0) at = bytes.find(signature, at + 1);
  return bytes.replace(at + offset, other.size(), other);
}
constexpr const char *kLocal = "PK\x03\x04", *kDescriptor = "PK\x07\x08", *kCentral = "PK\x01\x02",
                     *kEnd = "PK\x05\x06", *kWideEnd = "PK\x06\x06", *kLocator = "PK\x06\x07";

TEST_F(ZipEntries, AreThoseThatWerePutIn) {
  for (const bool as_torch : {true, false}) {
    Parts parts;
    EXPECT_EQ(read(zip_of(kParts, as_torch), &parts), "");
    EXPECT_EQ(parts, kParts);
    EXPECT_EQ(read(zip_of({}, as_torch)), "");
  }
  // Sizes told in front and behind.
  const std::string in_front = zip_of(kParts, false), behind = zip_of(kParts);
  std::string both = behind;
  for (int i = 0; i < 4; ++i) {
    both = with(both, kLocal, i, 14, in_front.substr(with(in_front, kLocal, i, 0, "????").find("????") + 14, 12));
  }
  EXPECT_NE(both, behind);
  EXPECT_EQ(read(both), "");
}

TEST_F(ZipEntries, OfZip64AreRead) {
  // One entry whose numbers stand in its zip64 fields alone.
  const std::string content = "0123456789", name = "m/data/0";
  const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(content.data()), 10);
  const auto archive = [&](const std::string& local_extra, const std::string& central_extra,
                           const std::string& descriptor, std::uint64_t flags = 0x0808) {
    const std::string fixed = little(flags, 2) + little(0, 6) + little(crc, 4) + little(0xffffffff, 4) +
                              little(0xffffffff, 4) + little(name.size(), 2);
    std::string out =
        "PK\3\4" + little(45, 2) + fixed + little(local_extra.size(), 2) + name + local_extra + content + descriptor;
    const std::size_t begin = out.size();
    out += "PK\1\2" + little(45, 4) + fixed + little(central_extra.size(), 2) + little(0, 10) + little(0xffffffff, 4) +
           name + central_extra;
    const std::size_t end = out.size();
    out += "PK\6\6" + little(44, 8) + little(45, 4) + little(0, 8) + little(1, 8) + little(1, 8) +
           little(end - begin, 8) + little(begin, 8) + "PK\6\7" + little(0, 4) + little(end, 8) + little(1, 4);

    return out + "PK\5\6" + little(0, 4) + little(0xffff, 2) + little(0xffff, 2) + little(0xffffffff, 4) +
           little(0xffffffff, 4) + little(0, 2);
  };
  const auto extra = [](std::initializer_list<std::uint64_t> numbers) {
    std::string out = "\1\0"s + little(8 * numbers.size(), 2);
    for (const std::uint64_t n : numbers) out += little(n, 8);
    return out;
  };
  const std::string descriptor = "PK\7\x8" + little(crc, 4) + little(10, 8) + little(10, 8);
  const std::string narrow = "PK\7\x8" + little(crc, 4) + little(10, 4) + little(10, 4);
  const std::string local = extra({10, 10}), central = extra({10, 10, 0});
  Parts parts;
  EXPECT_EQ(read(archive(local, central, descriptor), &parts), "");
  EXPECT_EQ(parts, (Parts{{name, content}}));
  EXPECT_EQ(read(archive(local, central, narrow)), "");
  EXPECT_EQ(read(archive(local, central, "", 0)), "");
  EXPECT_EQ(read(archive("FB\1\0x"s + local, "FB\0\0"s + central, descriptor)), "");
  expect_refused(archive(local, extra({10, 10}), descriptor), "lacks a number in its zip64 field");
  expect_refused(archive(local, "", descriptor), "lacks a number in its zip64 field");
  expect_refused(archive("", central, descriptor), "lacks a number in its zip64 field");
  expect_refused(archive(local, extra({10, 10, 0, 0}), descriptor), "has a zip64 field too many");
  expect_refused(archive(local, central + central, descriptor), "has two zip64 fields");
  expect_refused(archive(local, central + "x", descriptor), "has a broken extra field");
  expect_refused(archive(local, central + "FB\1\0"s, descriptor), "has a broken extra field");
  expect_refused(archive(extra({11, 11}), central, descriptor), "is another in its own header");
  expect_refused(archive(local, extra({10, 11, 0}), descriptor), "has 10 bytes, but 11 are stored");
  expect_refused(archive(local, extra({10, 10, 1}), descriptor), "a hole");
  expect_refused(archive(local, extra({10, 10, ~0ull}), descriptor), "a hole");
  expect_refused(archive(extra({~0ull, ~0ull}), extra({~0ull, ~0ull, 0}), descriptor), "more than the archive");
  expect_refused(archive(local, central, descriptor.substr(0, 23)), "is another in the record behind it");
}

TEST_F(ZipEntries, ThatContradictThemselvesAreRefused) {
  for (const bool as_torch : {true, false}) {
    const std::string good = zip_of(kParts, as_torch);
    const auto lies = [&](const char* signature, std::size_t offset, const std::string& other, const char* reason) {
      SCOPED_TRACE(offset);
      expect_refused(with(good, signature, 1, offset, other), reason);
    };
    // Of the directory.
    lies(kCentral, 8, "\1", "is encrypted or of an unknown kind");
    lies(kCentral, 8, "\x20", "is encrypted or of an unknown kind");
    lies(kCentral, 10, "\x8", "is compressed (method 8)");
    lies(kCentral, 16, "\0\0\0\0"s, as_torch ? "is another in the record behind it" : "is another in its own header");
    lies(kCentral, 20, "\x63", "has 100 bytes, but 99 are stored");
    lies(kCentral, 24, "\xff\xff\xff\xff", "lacks a number in its zip64 field");
    lies(kCentral, 28, "\xff\xff", "its directory is cut short");
    lies(kCentral, 30, "\1", "has a broken extra field");
    lies(kCentral, 32, "\1", "has a comment or lies in another part");
    lies(kCentral, 34, "\1", "has a comment or lies in another part");
    lies(kCentral, 42, "\0\0\0\0"s, "they overlap");
    lies(kCentral, 42, "\xff\xff\xff\x7f", "a hole");
    lies(kCentral, 47, "x", "is another in its own header");
    lies(kCentral, 1, "Q", "its directory is broken");
    // Of the entry.
    lies(kLocal, 1, "Q", "has no header where the directory says");
    lies(kLocal, 6, "\1", "is another in its own header");
    lies(kLocal, 8, "\x8", "is another in its own header");
    lies(kLocal, 14, "\1", "is another in its own header");
    lies(kLocal, 18, "\1", "is another in its own header");
    lies(kLocal, 22, "\1", "is another in its own header");
    lies(kLocal, 26, "\1", as_torch ? "has a broken extra field" : "is another in its own header");
    lies(kLocal, 28, "\xff\xff", "has a header that is cut short");
    lies(kLocal, 31, "x", "is another in its own header");
    if (as_torch) lies(kLocal, 18, "\xff\xff\xff\xff", "lacks a number in its zip64 field");
    // Of what is behind it.
    if (as_torch) {
      lies(kDescriptor, 1, "Q", "is another in the record behind it");
      lies(kDescriptor, 4, "\1\1\1", "is another in the record behind it");
      lies(kDescriptor, 8, "\1", "is another in the record behind it");
      lies(kDescriptor, 12, "\1", "is another in the record behind it");
    }
    const std::size_t x = good.find("xxxx");
    std::string damaged = good;
    damaged[x] = 'y';
    expect_refused(damaged, "entry \"m/data/0\" is damaged: its checksum is ");
  }
}

TEST_F(ZipEntries, OfAWrongEndAreRefused) {
  for (const bool as_torch : {true, false}) {
    const std::string good = zip_of(kParts, as_torch);
    const auto lies = [&](const char* signature, std::size_t offset, const std::string& other, const char* reason) {
      SCOPED_TRACE(offset);
      expect_refused(with(good, signature, 0, offset, other), reason);
    };
    const char* ends = as_torch ? "contradict each other" : nullptr;
    lies(kEnd, 1, "Q", "it does not end with the end of a zip archive");
    lies(kEnd, 20, "\1", "it does not end with the end of a zip archive");
    lies(kEnd, 4, "\1", "it is a part of an archive");
    lies(kEnd, 8, "\3", "it is a part of an archive");
    lies(kEnd, 8, "\3\0\3"s, ends ? ends : "its directory has more entries than the 3 told");
    lies(kEnd, 8, "\5\0\5"s, ends ? ends : "its directory has 4 entries, not the 5 told");
    lies(kEnd, 12, "\1", ends ? ends : "its directory does not lie where its end says");
    lies(kEnd, 16, "\1", ends ? ends : "its directory does not lie where its end says");
    lies(kEnd, 12, "\xff\xff\xff\xff\xff\xff\xff\xff", ends ? "" : "its directory does not lie where its end says");
    if (as_torch) {
      for (const std::size_t offset : {4u, 16u, 20u, 24u, 32u, 40u, 48u, 55u}) lies(kWideEnd, offset, "\7", ends);
      for (const std::size_t offset : {4u, 8u, 15u, 16u}) lies(kLocator, offset, "\7", ends);
      lies(kWideEnd, 1, "Q", ends);
      lies(kLocator, 1, "Q", "its directory does not lie where its end says");
    }
    expect_refused(good + "x", "it does not end with the end of a zip archive");
    expect_refused("x" + good, ends ? ends : "its directory does not lie where its end says");
    expect_refused(good + good, ends ? ends : "its directory does not lie where its end says");
  }
  expect_refused("", "it is shorter than the end of a zip archive");
}

TEST_F(ZipEntries, ThatHideAreRefused) {
  expect_refused(zip_of({{"a", "1"}, {"b", "2"}, {"a", "1"}}), "entry \"a\" is there twice");
  // An entry that the directory leaves out, behind, between and before others.
  const std::string all = zip_of(kParts, false);
  const auto without = [&](int n) {
    std::string bytes = all;
    std::size_t at = bytes.find(kCentral);
    while (n-- > 0) at = bytes.find(kCentral, at + 1);
    const std::size_t next = bytes.find("PK", at + 4), end = bytes.find(kEnd);
    const std::size_t begin = bytes.find(kCentral);
    bytes = bytes.substr(0, at) + bytes.substr(next);
    return with(with(bytes, kEnd, 0, 8, "\3\0\3"s), kEnd, 0, 12, little(end - begin - (next - at), 4));
  };
  expect_refused(without(3), "its entries end at byte ");
  expect_refused(without(1), "a hole");
  expect_refused(without(0), "a hole");
}

TEST_F(ZipEntries, OfManyAndLongNamesCostLittle) {
  Parts parts;
  for (int i = 0; i < 65535; ++i) parts.emplace_back(std::to_string(i), "");
  EXPECT_EQ(read(zip_of(parts)), "");
  EXPECT_EQ(read(zip_of({{std::string(65535, 'a'), "x"}})), "");
  parts.clear();
  for (int i = 0; i < 600; ++i) parts.emplace_back(std::string(60'000, 'a') + std::to_string(i), "");
  expect_refused(zip_of(parts), "at most 131136 in 33554432 are read");
  parts.resize(500);
  EXPECT_EQ(read(zip_of(parts)), "");
  // As many entries as fit into the directory, told in 64 bits, all of one place.
  std::string bytes = zip_of({{"a", ""}});
  const std::size_t central = bytes.find(kCentral), end = bytes.find(kWideEnd);
  const std::string entry = bytes.substr(central, end - central);
  std::string many = bytes.substr(0, central);
  for (int i = 0; i < 131'000; ++i) many += entry;
  many += "PK\6\6" + little(44, 8) + little(45, 4) + little(0, 8) + little(131'000, 8) + little(131'000, 8) +
          little(131'000 * entry.size(), 8) + little(central, 8) + "PK\6\7" + little(0, 4) +
          little(central + 131'000 * entry.size(), 8) + little(1, 4) + "PK\5\6" + little(0, 4) + "\xff\xff\xff\xff" +
          "\xff\xff\xff\xff\xff\xff\xff\xff" + little(0, 2);
  expect_refused(many, "they overlap");
}

TEST_F(ZipEntries, CutOrFlippedAreRefusedOrEqual) {
  for (const bool as_torch : {true, false}) {
    const std::string good = zip_of(kParts, as_torch);
    for (std::size_t size = 0; size < good.size(); ++size) EXPECT_NE(read(good.substr(0, size)), "") << size;
    std::size_t same = 0;
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string flipped = good;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      Parts parts;
      if (!read(flipped, &parts).empty()) continue;
      EXPECT_EQ(parts, kParts) << bit;
      ++same;
    }
    EXPECT_GT(same, 100u);  // versions, dates, attributes, padding
    EXPECT_LT(same, good.size() * 8 / 2);
  }
}

}  // namespace
}  // namespace unet::tests::zip_entries_test
