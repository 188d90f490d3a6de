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

inline constexpr std::int64_t max_image_pixels = 100'000'000;
inline constexpr int max_image_side = 65'500;  ///< the most libjpeg can hold
inline constexpr int max_jpeg_scans = 1'000;   ///< each scan of a progressive JPEG walks the whole image again
inline constexpr std::int64_t max_file_bytes = std::int64_t{1} << 30;

/// Pixels [height, width, channels]; channels 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;
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
  bool turned = false;  ///< the EXIF orientation swaps the sides of the stored pixels; width and height are after it
  friend bool operator==(const ImageSize& a, const ImageSize& b) { return a.width == b.width && a.height == b.height; }
};

/// A regular file's bytes. Throws Error when it cannot be read, is no regular file or exceeds max_file_bytes.
std::vector<std::uint8_t> read_file(const std::filesystem::path& path);

/// Writes a file that is whole or as before, though not secured against a power cut (see DurableFile). Throws Error
/// with the path and the system's reason.
void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes);

/// A photograph in the channels of its file: 1-, 2- and 4-bit gray scaled to 0..255, 16 bits by their high byte,
/// palette to RGB, tRNS to alpha, CMYK and YCCK to RGB (inverted as Adobe stores them, converted as Pillow does), the
/// EXIF orientation of a JPEG applied. `name` stands in messages.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name);
Image load_image(const std::filesystem::path& path);

/// A mask [height, width, 1] as stored: 1-, 2-, 4- and 8-bit gray unscaled, palette indices. A mask is a PNG without
/// colour, alpha or 16-bit samples; anything else, and an index beyond the palette, throws Error.
Image decode_mask(std::span<const std::uint8_t> bytes, const std::string& name);
Image load_mask(const std::filesystem::path& path);

/// The size load_image would give, from the head of the file alone.
ImageSize read_image_size(const std::filesystem::path& path);

/// Three channels: gray repeated, alpha dropped.
Image to_rgb(Image image);

using Rgb = std::array<std::uint8_t, 3>;  ///< red, green, blue

struct PngOptions {
  bool fast = false;            ///< several times as fast, and a little larger
  std::vector<Rgb> palette;  ///< of an image of 1 channel: its values become indices into these
  std::string software;         ///< what made the picture, as text in its head; nothing if empty
};

/// 8-bit gray, palette or RGB (1 or 3 channels), without loss.
std::vector<std::uint8_t> encode_png(const Image& image, const PngOptions& options = {});

/// 16-bit gray, rows dense and top first.
std::vector<std::uint8_t> encode_png(int width, int height, std::span<const std::uint16_t> values,
                                     const PngOptions& options = {});

/// Gray or RGB; quality 1..100, chroma halved in both directions as is usual.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality = 90);

}  // namespace unet
