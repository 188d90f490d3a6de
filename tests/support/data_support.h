// Helpers of the data tests: folders that vanish, the given corpora, and PNG files of every kind made without libpng.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"
#include "engine/io/image.h"

namespace unet::test {

namespace fs = std::filesystem;

#if defined(UNET_SANITIZED)
inline constexpr bool sanitized = true;  // their own memory makes figures of memory meaningless
#else
inline constexpr bool sanitized = false;
#endif

class Folder {
 public:
  explicit Folder(const fs::path& where = fs::temp_directory_path()) {
    std::string pattern = (where / "unet_data_XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw Error("cannot make {}", pattern);
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

inline void write_text(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  write_file(path, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

inline void write_bytes(const fs::path& path, const std::vector<std::uint8_t>& bytes) {
  fs::create_directories(path.parent_path());
  write_file(path, bytes);
}

/// The message of the Error that call throws; empty, and a failure, if it throws none.
template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "expected an Error";
  return {};
}

inline void expect_parts(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
  }
}

inline std::uint32_t crc32(const std::uint8_t* bytes, std::size_t count, std::uint32_t crc = 0) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
      entries[i] = c;
    }
    return entries;
  }();
  crc = ~crc;
  for (std::size_t i = 0; i < count; ++i) crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
  return ~crc;
}

/// A PNG as raw rows (each led by the filter byte 0) in stored deflate blocks.
struct PngFile {
  std::uint32_t width = 1, height = 1;
  int bit_depth = 8, color_type = 0;  // 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA
  std::vector<std::uint8_t> palette, transparency;
  std::vector<std::uint8_t> rows;       // packed as the format wants, without filter bytes
  std::size_t padding = 0;              // bytes of a chunk to be skipped: reading takes its time
  std::vector<std::uint8_t> exif = {};  // of a chunk eXIf: a TIFF structure

  std::vector<std::uint8_t> bytes() const {
    std::vector<std::uint8_t> out{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    std::vector<std::uint8_t> header;
    put32(header, width);
    put32(header, height);
    for (const int value : {bit_depth, color_type, 0, 0, 0}) header.push_back(static_cast<std::uint8_t>(value));
    chunk(out, "IHDR", header);
    if (padding) chunk(out, "paDd", std::vector<std::uint8_t>(padding));
    if (!exif.empty()) chunk(out, "eXIf", exif);
    if (!palette.empty()) chunk(out, "PLTE", palette);
    if (!transparency.empty()) chunk(out, "tRNS", transparency);
    std::vector<std::uint8_t> raw;
    const std::size_t stride = rows.size() / height;
    for (std::uint32_t y = 0; y < height && stride; ++y) {
      raw.push_back(0);
      raw.insert(raw.end(), rows.begin() + static_cast<std::ptrdiff_t>(y * stride),
                 rows.begin() + static_cast<std::ptrdiff_t>((y + 1) * stride));
    }
    chunk(out, "IDAT", stored(raw));
    chunk(out, "IEND", {});
    return out;
  }

 private:
  static void put32(std::vector<std::uint8_t>& out, std::uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(v >> shift));
  }
  static void chunk(std::vector<std::uint8_t>& out, std::string_view type, const std::vector<std::uint8_t>& data) {
    put32(out, static_cast<std::uint32_t>(data.size()));
    const std::size_t begin = out.size();
    out.insert(out.end(), type.begin(), type.end());
    out.insert(out.end(), data.begin(), data.end());
    put32(out, crc32(out.data() + begin, out.size() - begin));
  }
  static std::vector<std::uint8_t> stored(const std::vector<std::uint8_t>& raw) {
    std::vector<std::uint8_t> out{0x78, 0x01};
    std::uint32_t a = 1, b = 0;
    for (const std::uint8_t v : raw) {
      a = (a + v) % 65521;
      b = (b + a) % 65521;
    }
    std::size_t at = 0;
    do {
      const std::size_t count = std::min<std::size_t>(raw.size() - at, 65535);
      out.push_back(at + count == raw.size());
      for (const std::size_t v : {count, count >> 8, ~count, ~count >> 8}) out.push_back(static_cast<std::uint8_t>(v));
      out.insert(out.end(), raw.begin() + static_cast<std::ptrdiff_t>(at),
                 raw.begin() + static_cast<std::ptrdiff_t>(at + count));
      at += count;
    } while (at < raw.size());
    put32(out, b << 16 | a);
    return out;
  }
};

/// A TIFF structure that holds EXIF's orientation alone.
inline std::vector<std::uint8_t> tiff_with_orientation(int orientation) {
  return {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, static_cast<std::uint8_t>(orientation),
          0,   0,   0, 0,  0, 0};
}

/// Any image of 8 bits as a PNG with this orientation.
inline std::vector<std::uint8_t> png_with_orientation(const Image& image, int orientation) {
  PngFile png;
  png.width = static_cast<std::uint32_t>(image.width);
  png.height = static_cast<std::uint32_t>(image.height);
  png.color_type = std::array{0, 0, 4, 2, 6}[static_cast<std::size_t>(image.channels)];
  png.rows = image.pixels;
  png.exif = tiff_with_orientation(orientation);
  return png.bytes();
}

inline PngFile gray_png(std::uint32_t width, std::uint32_t height, std::uint8_t value) {
  PngFile png;
  png.width = width;
  png.height = height;
  png.rows.assign(static_cast<std::size_t>(width) * height, value);
  return png;
}

/// A sound head, then refused after reading for a while: the second takes several times as long as the first.
inline std::vector<std::uint8_t> broken(std::uint32_t width, std::uint32_t height, std::size_t padding) {
  PngFile png = gray_png(width, height, 1);
  png.padding = padding;
  std::vector<std::uint8_t> bytes = png.bytes();
  bytes.resize(bytes.size() - 12);
  return bytes;
}
inline std::vector<std::uint8_t> quickly_broken(std::uint32_t width, std::uint32_t height) {
  return broken(width, height, 4'000'000);
}
inline std::vector<std::uint8_t> slowly_broken(std::uint32_t width, std::uint32_t height) {
  return broken(width, height, 20'000'000);
}

/// Tab-separated lines after the first.
inline std::vector<std::vector<std::string>> read_table(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  std::vector<std::vector<std::string>> table;
  while (std::getline(file, line)) {
    std::vector<std::string> row;
    for (std::size_t at = 0; at <= line.size();) {
      const std::size_t end = std::min(line.find('\t', at), line.size());
      row.push_back(line.substr(at, end - at));
      at = end + 1;
    }
    table.push_back(std::move(row));
  }
  return table;
}

}  // namespace unet::test
