// A PNG that is written from the top, some rows at a time, so that a picture need not be in memory as a whole.
#pragma once

#include <memory>

#include "engine/io/durable_file.h"
#include "engine/io/image.h"

namespace unet {

namespace codec {
class PngEncoder;
}

/// The file appears under its name only by commit(), whole; without that the one before stays.
class PngWriter {
 public:
  /// 1 or 3 channels of 8 bits, or 1 of 16. Throws Error on other forms, and where the file cannot be made.
  PngWriter(const std::filesystem::path& path, ImageSize size, int channels, int bits, const PngOptions& options = {});
  ~PngWriter();

  /// The next rows, dense: as many as the values fill. Throws Error on a part of a row and on more rows than there are.
  void rows(std::span<const std::uint8_t> values);
  void rows(std::span<const std::uint16_t> values);

  /// Throws Error if rows are missing.
  void commit();

 private:
  void put(const std::uint8_t* bytes, std::size_t count);

  const std::filesystem::path path_;
  const std::size_t row_bytes_;
  std::size_t left_;  // bytes of rows
  std::unique_ptr<codec::PngEncoder> encoder_;
  DurableFile file_;
};

}  // namespace unet
