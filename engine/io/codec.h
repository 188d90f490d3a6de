// The two libraries behind image.h; used by image.cpp alone.
//
// Both libraries leave by longjmp, which must not cross a C++ object with a destructor. So each file keeps all state in
// one struct owned by an outer frame, and calls the library only from functions whose own frame is trivial.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/image.h"

namespace unet::codec {

using Bytes = std::span<const std::uint8_t>;

/// Throws Error unless 1 <= sides <= kMaxImageSide and width * height <= kMaxImagePixels.
void check_limits(std::int64_t width, std::int64_t height, const std::string& name);

ImageHead jpeg_head(Bytes bytes, const std::string& name);
Image jpeg_decode(Bytes bytes, const std::string& name, Exif exif);
std::vector<std::uint8_t> jpeg_encode(const Image& image, int quality);

enum class PngUse { image, mask };
ImageHead png_head(Bytes bytes, const std::string& name);
Image png_decode(Bytes bytes, const std::string& name, PngUse use, Exif exif);
/// bits: 8, or 16 with the high byte of a sample first in the image's pixels, of 1 channel, whose width counts samples.
std::vector<std::uint8_t> png_encode(const Image& image, int bits, const PngOptions& options);

/// A PNG row by row. Throws Error on what cannot be encoded.
class PngEncoder {
 public:
  /// image: its sides and channels are those of the whole, its pixels are not looked at.
  PngEncoder(const Image& image, int bits, const PngOptions& options);
  ~PngEncoder();
  /// `count` more rows, dense.
  void rows(const std::uint8_t* pixels, int count);
  /// After the last row.
  void end();
  /// The bytes of the file since the last call.
  std::vector<std::uint8_t> take();

 private:
  std::unique_ptr<struct PngState> state_;
  std::size_t row_bytes_;
};

/// EXIF orientation 1..8 from the payload of an APP1 segment; 1 where there is none or it makes no sense.
int exif_orientation(Bytes app1);
/// Likewise from the TIFF structure alone, as a PNG's eXIf holds it.
int tiff_orientation(Bytes bytes);

/// The image turned upright; orientation as EXIF 2.3, tag 0x0112.
Image apply_orientation(Image image, int orientation);

}  // namespace unet::codec
