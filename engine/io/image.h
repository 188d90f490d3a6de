// Images as the rest of the engine sees them: 8-bit, height x width x channels, rows dense and top first. Reads JPEG
// and PNG, recognised by their first bytes and never by their name; writes both.
//
// Files are not trusted. Every fault of a file is an unet::Error that names it, what was found, what was expected and
// what to do. Limits are checked before anything of the image's size is allocated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace unet {

inline constexpr std::int64_t kMaxImagePixels = 100'000'000;
inline constexpr int kMaxImageSide = 65'500;  ///< the most libjpeg can hold
inline constexpr int kMaxJpegScans = 1'000;
/// Each scan of a progressive JPEG walks the whole image again: sums over all of them. Ordinary ones have ten.
inline constexpr std::int64_t kMaxJpegScanPixels = 12 * kMaxImagePixels;
inline constexpr std::int64_t kMaxArithmeticScanPixels = 12'000'000;
inline constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 30;

/// Pixels [height, width, channels]; channels 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> palette;  ///< of a palette mask as decoded: red, green, blue of each index
  /// Complaints of the decoder about parts of the file that do not spoil the pixels (a profile, bytes between
  /// segments).
  std::int64_t warnings = 0;

  Image() = default;
  Image(int image_width, int image_height, int image_channels);
  std::uint8_t* row(int y) { return pixels.data() + static_cast<std::size_t>(y) * width * channels; }
  const std::uint8_t* row(int y) const { return pixels.data() + static_cast<std::size_t>(y) * width * channels; }
};

struct ImageSize {
  int width = 0;
  int height = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

/// Whether a photograph is turned upright as its EXIF orientation asks, or taken as stored.
enum class Exif { apply, ignore };
constexpr const char* name_of(Exif exif) { return exif == Exif::apply ? "apply" : "ignore"; }

/// What the head of a photograph says of it.
struct ImageHead {
  ImageSize size;       ///< as stored
  int orientation = 1;  ///< EXIF's, 1 (upright) to 8; from 5 on it swaps the sides
  bool alpha = false;   ///< an alpha channel, or a transparent colour
  int bits = 8;         ///< of a sample

  /// The size that load_image gives.
  ImageSize seen_size(Exif exif) const {
    return exif == Exif::apply && orientation >= 5 ? ImageSize{size.height, size.width} : size;
  }
};

/// A regular file's bytes. Throws Error when it cannot be read, is no regular file or larger than `most`.
std::vector<std::uint8_t> read_file(const std::filesystem::path& path, std::int64_t most = kMaxFileBytes);

/// Writes a file that is whole or as before, though not secured against a power cut (see DurableFile). Throws Error
/// with the path and the system's reason.
void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes);

/// A photograph in the channels of its file: 1-, 2- and 4-bit gray scaled to 0..255, 16 bits by their high byte,
/// palette to RGB, tRNS to alpha, CMYK and YCCK to RGB (inverted as Adobe stores them, converted as Pillow does),
/// turned by the EXIF orientation of a JPEG's APP1 or a PNG's eXIf (before the image data) unless that is ignored.
/// `name` stands in messages.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, Exif exif = Exif::apply);
Image load_image(const std::filesystem::path& path, Exif exif = Exif::apply);

/// A mask as stored: [height, width, 1] of 1-, 2-, 4- and 8-bit gray unscaled or palette indices, [height, width, 3] of
/// RGB. A mask is a PNG without 16-bit samples and without a pixel that is not opaque; anything else, and an index
/// beyond the palette, throws Error.
Image decode_mask(std::span<const std::uint8_t> bytes, const std::string& name);
Image load_mask(const std::filesystem::path& path);

/// From the start of the file alone. Throws Error where load_image would for that part.
ImageHead read_image_head(const std::filesystem::path& path);

/// Three channels: gray repeated, alpha dropped.
Image to_rgb(Image image);

using Rgb = std::array<std::uint8_t, 3>;  ///< red, green, blue

struct PngOptions {
  bool fast = false;         ///< several times as fast, and a little larger
  std::vector<Rgb> palette;  ///< of an image of 1 channel: its values become indices into these
  std::string software;      ///< what made the picture, as text in its head; nothing if empty
};

/// 8-bit gray, palette or RGB (1 or 3 channels), without loss.
std::vector<std::uint8_t> encode_png(const Image& image, const PngOptions& options = {});

/// 16-bit gray, rows dense and top first.
std::vector<std::uint8_t> encode_png(int width, int height, std::span<const std::uint16_t> values,
                                     const PngOptions& options = {});

/// Gray or RGB; quality 1..100, chroma halved in both directions as is usual.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality = 90);

}  // namespace unet
