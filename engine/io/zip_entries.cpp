#include "engine/io/zip_entries.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <initializer_list>

#include "engine/core/error.h"
#include "engine/io/tensor_file.h"

namespace unet {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers of a zip archive are copied as they are");

constexpr std::uint32_t kLocal = 0x04034b50, kDescriptor = 0x08074b50, kCentral = 0x02014b50, kEnd = 0x06054b50,
                        kWideEnd = 0x06064b50, kWideLocator = 0x07064b50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kWideEndBytes = 56, kLocatorBytes = 20;
constexpr std::uint64_t kInWide = 0xffffffff;  // of 32 bits: the number stands in the zip64 field
constexpr unsigned kHasDescriptor = 1u << 3, kUtf8 = 1u << 11;
constexpr std::size_t kMostEntries = kSafeTensors + 64;
constexpr std::size_t kReadBytes = std::size_t{1} << 20;

template <class T>
T number(std::string_view bytes, std::size_t at) {
  T out;
  std::memcpy(&out, bytes.substr(at, sizeof out).data(), sizeof out);
  return out;
}

std::string read_text(const InputFile& file, std::uint64_t offset, std::uint64_t bytes) {
  std::string out(bytes, '\0');
  file.read(out.data(), bytes, offset);
  return out;
}

struct Directory {
  std::uint64_t begin = 0, bytes = 0, entries = 0;
};

/// From the records at the end of the file.
Directory find_directory(const InputFile& file) {
  const auto require = [](bool holds, std::string_view reason) {
    if (!holds) throw Error("{}: it is cut short, damaged or no archive of PyTorch's", reason);
  };
  require(file.size() >= kEndBytes, "it is shorter than the end of a zip archive");
  const std::uint64_t end_at = file.size() - kEndBytes;
  const std::string end = read_text(file, end_at, kEndBytes);
  require(number<std::uint32_t>(end, 0) == kEnd && number<std::uint16_t>(end, 20) == 0,
          "it does not end with the end of a zip archive");
  require(number<std::uint32_t>(end, 4) == 0 && number<std::uint16_t>(end, 8) == number<std::uint16_t>(end, 10),
          "it is a part of an archive");
  Directory out{number<std::uint32_t>(end, 16), number<std::uint32_t>(end, 12), number<std::uint16_t>(end, 10)};
  std::uint64_t directory_end = end_at;
  bool wide = false;
  if (end_at >= kLocatorBytes + kWideEndBytes) {
    const std::string locator = read_text(file, end_at - kLocatorBytes, kLocatorBytes);
    wide = number<std::uint32_t>(locator, 0) == kWideLocator;
    if (wide) {
      directory_end = end_at - kLocatorBytes - kWideEndBytes;
      const std::string record = read_text(file, directory_end, kWideEndBytes);
      const auto same = [&](std::uint64_t& narrow, std::uint64_t all_ones, std::size_t at) {
        const std::uint64_t value = number<std::uint64_t>(record, at);
        return (narrow == all_ones || narrow == value) && ((narrow = value), true);
      };
      require(number<std::uint32_t>(locator, 4) == 0 && number<std::uint64_t>(locator, 8) == directory_end &&
                  number<std::uint32_t>(locator, 16) == 1 && number<std::uint32_t>(record, 0) == kWideEnd &&
                  number<std::uint64_t>(record, 4) == kWideEndBytes - 12 && number<std::uint64_t>(record, 16) == 0 &&
                  number<std::uint64_t>(record, 24) == number<std::uint64_t>(record, 32) &&
                  same(out.entries, 0xffff, 32) && same(out.bytes, kInWide, 40) && same(out.begin, kInWide, 48),
              "its two ends, of 32 and of 64 bits, contradict each other");
    }
  }
  require(out.bytes <= directory_end && out.begin == directory_end - out.bytes,
          "its directory does not lie where its end says");
  if (out.bytes > kZipDirectoryBytes || out.entries > kMostEntries) {
    throw Error("it has {} entries in a directory of {} bytes, at most {} in {} are read", out.entries, out.bytes,
                kMostEntries, kZipDirectoryBytes);
  }
  return out;
}

/// Puts into those of `fields` that are kInWide what the zip64 part of `extra` says, and returns what is left of it.
std::string_view widen(std::string_view extra, std::initializer_list<std::uint64_t*> fields) {
  std::string_view wide;
  while (!extra.empty()) {
    const std::size_t length = extra.size() < 4 ? extra.size() : std::size_t{4} + number<std::uint16_t>(extra, 2);
    if (extra.size() < 4 || length > extra.size()) throw Error("has a broken extra field");
    if (number<std::uint16_t>(extra, 0) == 1) {
      if (wide.data() != nullptr) throw Error("has two zip64 fields");
      wide = extra.substr(4, length - 4);
    }
    extra.remove_prefix(length);
  }
  for (std::uint64_t* field : fields) {
    if (*field != kInWide) continue;
    if (wide.size() < sizeof *field) throw Error("lacks a number in its zip64 field");
    *field = number<std::uint64_t>(wide, 0);
    wide.remove_prefix(sizeof *field);
  }
  return wide;
}

/// An entry as one of the two places tells it.
struct Record {
  std::uint32_t crc = 0;
  std::uint64_t stored = 0, bytes = 0, at = 0;  // at: of its local header
  unsigned flags = 0, method = 0;
  std::string name;

  /// `fixed`: from the flags on, where both kinds of headers are the same.
  explicit Record(std::string_view fixed)
      : crc(number<std::uint32_t>(fixed, 8)),
        stored(number<std::uint32_t>(fixed, 12)),
        bytes(number<std::uint32_t>(fixed, 16)),
        flags(number<std::uint16_t>(fixed, 0)),
        method(number<std::uint16_t>(fixed, 2)) {}
  bool same_content(const Record& other) const {
    return crc == other.crc && stored == other.stored && bytes == other.bytes;
  }
};

/// Calls action; what it throws gets the entry's name.
template <class Action>
void of_entry(std::string_view name, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    throw Error("entry \"{}\" {}", printable(name), error.what());
  }
}

std::vector<Record> read_directory(const InputFile& file, const Directory& directory) {
  const std::string text = read_text(file, directory.begin, directory.bytes);
  std::vector<Record> out;
  for (std::string_view rest = text; !rest.empty();) {
    if (rest.size() < kCentralBytes || number<std::uint32_t>(rest, 0) != kCentral)
      throw Error("its directory is broken");
    if (out.size() == directory.entries) throw Error("its directory has more entries than the {} told", out.size());
    const std::size_t name = number<std::uint16_t>(rest, 28), extra = number<std::uint16_t>(rest, 30);
    if (name + extra > rest.size() - kCentralBytes) throw Error("its directory is cut short");
    Record& record = out.emplace_back(rest.substr(8));
    record.name = rest.substr(kCentralBytes, name);
    record.at = number<std::uint32_t>(rest, 42);
    of_entry(record.name, [&] {
      const std::string_view more = rest.substr(kCentralBytes + name, extra);
      if (record.method != 0) throw Error("is compressed (method {})", record.method);
      if ((record.flags & ~(kHasDescriptor | kUtf8)) != 0) {
        throw Error("is encrypted or of an unknown kind (flags {:#06x})", record.flags);
      }
      if (number<std::uint32_t>(rest, 32) != 0) throw Error("has a comment or lies in another part");
      if (!widen(more, {&record.bytes, &record.stored, &record.at}).empty()) throw Error("has a zip64 field too many");
      if (record.stored != record.bytes) throw Error("has {} bytes, but {} are stored", record.bytes, record.stored);
    });
    rest.remove_prefix(kCentralBytes + name + extra);
  }
  if (out.size() != directory.entries) {
    throw Error("its directory has {} entries, not the {} told", out.size(), directory.entries);
  }
  std::sort(out.begin(), out.end(), [](const Record& a, const Record& b) { return a.at < b.at; });
  return out;
}

/// Whether the record of crc and sizes behind an entry, of 16 or 24 bytes, is there and agrees; its size, else 0.
std::uint64_t descriptor_bytes(const InputFile& file, const Record& record, std::uint64_t at, std::uint64_t end) {
  for (const std::uint64_t bytes : {16, 24}) {
    if (bytes > end - at) break;
    const std::string text = read_text(file, at, bytes);
    if (number<std::uint32_t>(text, 0) != kDescriptor || number<std::uint32_t>(text, 4) != record.crc) break;
    const auto size = [&](std::size_t i) {
      return bytes == 16 ? number<std::uint32_t>(text, 8 + 4 * i) : number<std::uint64_t>(text, 8 + 8 * i);
    };
    if (size(0) == record.bytes && size(1) == record.bytes) return bytes;
  }
  return 0;
}

void require_checksum(const InputFile& file, const ZipEntry& entry, std::uint32_t crc, std::string& chunk) {
  uLong sum = ::crc32(0, nullptr, 0);
  for (std::uint64_t done = 0; done < entry.bytes;) {
    chunk.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, entry.bytes - done)));
    file.read(chunk.data(), chunk.size(), entry.begin + done);
    sum = ::crc32(sum, reinterpret_cast<const Bytef*>(chunk.data()), static_cast<uInt>(chunk.size()));
    done += chunk.size();
  }
  if (sum != crc) throw Error("is damaged: its checksum is {:08x}, the archive says {:08x}", sum, crc);
}

/// The entry behind a local header at record.at, checked; `end`: of the room there is. Sets `behind` to what follows.
ZipEntry read_local(const InputFile& file, const Record& record, std::uint64_t end, std::uint64_t& behind,
                    std::string& chunk) {
  const std::uint64_t room = end - record.at;
  if (room < kLocalBytes) throw Error("begins where the directory is");
  const std::string fixed = read_text(file, record.at, kLocalBytes);
  if (number<std::uint32_t>(fixed, 0) != kLocal) throw Error("has no header where the directory says");
  const std::uint64_t name = number<std::uint16_t>(fixed, 26), extra = number<std::uint16_t>(fixed, 28);
  if (kLocalBytes + name + extra > room) throw Error("has a header that is cut short");
  const std::string text = read_text(file, record.at + kLocalBytes, name + extra);
  Record local(std::string_view(fixed).substr(6));
  widen(std::string_view(text).substr(name), {&local.bytes, &local.stored});
  const bool told_behind =
      (record.flags & kHasDescriptor) != 0 && local.crc == 0 && local.stored == 0 && local.bytes == 0;
  if (text.substr(0, name) != record.name || local.flags != record.flags || local.method != record.method ||
      !(local.same_content(record) || told_behind)) {
    throw Error("is another in its own header than in the directory");
  }
  ZipEntry entry{record.name, record.at + kLocalBytes + name + extra, record.bytes};
  if (entry.bytes > end - entry.begin) throw Error("has {} bytes, more than the archive", entry.bytes);
  behind = entry.begin + entry.bytes;
  if ((record.flags & kHasDescriptor) != 0) {
    const std::uint64_t descriptor = descriptor_bytes(file, record, behind, end);
    if (descriptor == 0) throw Error("is another in the record behind it than in the directory");
    behind += descriptor;
  }
  require_checksum(file, entry, record.crc, chunk);
  return entry;
}

}  // namespace

std::vector<ZipEntry> zip_entries(const InputFile& file) {
  const Directory directory = find_directory(file);
  std::vector<ZipEntry> out;
  std::uint64_t expected = 0;
  std::string chunk;
  for (const Record& record : read_directory(file, directory)) {
    of_entry(record.name, [&] {
      if (record.at != expected) {
        throw Error("begins at byte {}, but what is before it ends at byte {}: {}", record.at, expected,
                    record.at < expected ? "they overlap" : "a hole");
      }
      out.push_back(read_local(file, record, directory.begin, expected, chunk));
    });
  }
  if (expected != directory.begin) {
    throw Error("its entries end at byte {}, its directory begins at byte {}", expected, directory.begin);
  }
  std::sort(out.begin(), out.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != out.end()) throw Error("entry \"{}\" is there twice", printable(twice->name));
  return out;
}

const ZipEntry* find_entry(const std::vector<ZipEntry>& entries, std::string_view name) {
  const auto found = std::lower_bound(entries.begin(), entries.end(), name,
                                      [](const ZipEntry& entry, std::string_view key) { return entry.name < key; });
  return found != entries.end() && found->name == name ? &*found : nullptr;
}

}  // namespace unet
