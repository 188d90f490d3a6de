#include "engine/io/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "engine/core/error.h"
#include "engine/io/codec.h"
#include "engine/io/durable_file.h"

namespace unet {
namespace {

using codec::Bytes;

enum class Format { jpeg, png, other };

bool begins(Bytes bytes, std::string_view magic, std::size_t at = 0) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

Format recognise(Bytes bytes) {
  if (begins(bytes, "\xff\xd8")) return Format::jpeg;
  if (begins(bytes, "\x89PNG\r\n\x1a\n")) return Format::png;
  return Format::other;
}

/// What a file that is no JPEG or PNG looks like, for the message.
std::string describe(Bytes bytes) {
  struct Known {
    std::string_view magic;
    std::size_t at;
    const char* what;
  };
  static constexpr std::array<Known, 16> known{{{"GIF8", 0, "a GIF image"},
                                                {"BM", 0, "a BMP image"},
                                                {"WEBP", 8, "a WebP image"},
                                                {"II*", 0, "a TIFF image"},
                                                {"MM\0*", 0, "a TIFF image"},
                                                {"ftypavif", 4, "an AVIF image"},
                                                {"ftyphei", 4, "a HEIC image"},
                                                {"8BPS", 0, "a Photoshop file"},
                                                {"\xff\x0a", 0, "a JPEG XL image"},
                                                {"jP  ", 4, "a JPEG 2000 image"},
                                                {"\x89PNG", 0, "a PNG with a damaged signature"},
                                                {"\x1f\x8b", 0, "a gzip archive"},
                                                {"PK", 0, "a ZIP archive"},
                                                {"%PDF", 0, "a PDF"},
                                                {"version https://git-lfs", 0, "a Git LFS pointer, not the file"},
                                                {"<", 0, "HTML, XML or SVG text"}}};
  if (bytes.empty()) return "an empty file";
  for (const Known& k : known) {
    if (begins(bytes, k.magic, k.at)) return k.what;
  }
  std::string text = "an unknown format beginning with bytes";
  for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 4); ++i) text += fmt::format(" {:02x}", bytes[i]);
  return text;
}

[[noreturn]] void refuse_format(Bytes bytes, const std::string& name) {
  throw Error(
      "{}: found {}, expected JPEG or PNG (by content, whatever the name): convert it to JPEG or PNG, or take "
      "it off the data set",
      name, describe(bytes));
}

/// An open file that closes itself.
struct File {
  int descriptor;
  explicit File(int opened) : descriptor(opened) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

[[noreturn]] void refuse_io(const char* what, const std::filesystem::path& path) {
  throw Error("{}: cannot {}: {}", path.string(), what, std::strerror(errno));
}

/// At most `limit` bytes from the start of a file of at most `most`.
std::vector<std::uint8_t> read_start(const std::filesystem::path& path, std::int64_t limit,
                                     std::int64_t most = kMaxFileBytes) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe must not block
  if (file.descriptor < 0) refuse_io("open the file", path);
  struct stat status {};
  if (::fstat(file.descriptor, &status) != 0) refuse_io("read the file", path);
  if (!S_ISREG(status.st_mode)) {
    throw Error("{}: found {}, expected a regular file", path.string(),
                S_ISDIR(status.st_mode) ? "a folder" : "a device or pipe");
  }
  if (status.st_size > most) {
    throw Error("{}: {} bytes, at most {} are read: replace the file by a smaller one", path.string(), status.st_size,
                most);
  }
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(std::min<std::int64_t>(status.st_size, limit)));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.descriptor, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse_io("read the file", path);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

void check_encodable(const Image& image, const char* what, std::size_t sample_bytes = 1) {
  const auto expected = static_cast<std::size_t>(image.width) * image.height * image.channels * sample_bytes;
  if (image.width < 1 || image.height < 1 || image.width > kMaxImageSide || image.height > kMaxImageSide ||
      (image.channels != 1 && image.channels != 3) || image.pixels.size() != expected) {
    throw Error("cannot encode {} of {}x{} with {} channels and {} bytes, expected gray or RGB of matching size", what,
                image.width, image.height, image.channels, image.pixels.size());
  }
}

/// Throws Error unless every pixel is opaque.
Image without_alpha(Image mask, const std::string& name) {
  if (mask.channels % 2 != 0) return mask;
  const auto channels = static_cast<std::size_t>(mask.channels);
  const std::size_t pixels = mask.pixels.size() / channels;
  for (std::size_t i = 0; i < pixels; ++i) {
    const std::uint8_t* pixel = mask.pixels.data() + i * channels;
    if (pixel[channels - 1] != 255) {
      throw Error("{}: mask is transparent at x={} y={} (alpha {}), which is no class: save the mask without alpha",
                  name, i % static_cast<std::size_t>(mask.width), i / static_cast<std::size_t>(mask.width),
                  pixel[channels - 1]);
    }
    std::copy(pixel, pixel + channels - 1, mask.pixels.begin() + static_cast<std::ptrdiff_t>(i * (channels - 1)));
  }
  mask.pixels.resize(pixels * (channels - 1));
  --mask.channels;
  return mask;
}

}  // namespace

void codec::check_limits(std::int64_t width, std::int64_t height, const std::string& name) {
  if (width < 1 || height < 1 || width > kMaxImageSide || height > kMaxImageSide || width * height > kMaxImagePixels) {
    throw Error("{}: image of {}x{} pixels, expected 1 to {} a side and at most {} in all: shrink the image", name,
                width, height, kMaxImageSide, kMaxImagePixels);
  }
}

Image::Image(int image_width, int image_height, int image_channels)
    : width(image_width),
      height(image_height),
      channels(image_channels),
      pixels(static_cast<std::size_t>(image_width) * image_height * image_channels) {}

std::vector<std::uint8_t> read_file(const std::filesystem::path& path, std::int64_t most) {
  return read_start(path, most, most);
}

void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  DurableFile file(path, bytes.size(), DurableFile::Outlives::process);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, Exif exif) {
  switch (recognise(bytes)) {
    case Format::jpeg:
      return codec::jpeg_decode(bytes, name, exif);
    case Format::png:
      return codec::png_decode(bytes, name, codec::PngUse::image, exif);
    case Format::other:
      break;
  }
  refuse_format(bytes, name);
}

Image decode_mask(std::span<const std::uint8_t> bytes, const std::string& name) {
  switch (recognise(bytes)) {
    case Format::png:
      return without_alpha(codec::png_decode(bytes, name, codec::PngUse::mask, Exif::ignore), name);
    case Format::jpeg:
      throw Error(
          "{}: mask is a JPEG, which does not keep class indices exactly, expected a PNG: export the mask "
          "again as 8-bit gray or palette PNG, or give --binarize 128 if it shows two classes in black and white",
          name);
    case Format::other:
      break;
  }
  throw Error("{}: mask is {}, expected a PNG: convert the mask to 8-bit gray or palette PNG", name, describe(bytes));
}

Image load_image(const std::filesystem::path& path, Exif exif) {
  return decode_image(read_file(path), path.string(), exif);
}

Image load_mask(const std::filesystem::path& path) { return decode_mask(read_file(path), path.string()); }

ImageHead read_image_head(const std::filesystem::path& path) {
  constexpr std::int64_t usual_head = 64 << 10;
  std::vector<std::uint8_t> bytes = read_start(path, usual_head);
  const std::string name = path.string();
  const Format format = recognise(bytes);
  if (format == Format::other) refuse_format(bytes, name);
  const auto read_head = format == Format::png ? codec::png_head : codec::jpeg_head;
  if (static_cast<std::int64_t>(bytes.size()) == usual_head) {
    try {
      return read_head(bytes, name);
    } catch (const Error&) {  // the head may end behind a long profile: the whole file has the last word
      bytes = read_file(path);
    }
  }
  return read_head(bytes, name);
}

Image to_rgb(Image image) {
  if (image.channels == 3) return image;
  Image rgb(image.width, image.height, 3);
  rgb.warnings = image.warnings;
  const std::size_t count = static_cast<std::size_t>(image.width) * image.height;
  const std::size_t step = static_cast<std::size_t>(image.channels);
  const std::size_t green = step >= 3 ? 1 : 0, blue = step >= 3 ? 2 : 0;
  for (std::size_t i = 0; i < count; ++i) {
    rgb.pixels[3 * i] = image.pixels[step * i];
    rgb.pixels[3 * i + 1] = image.pixels[step * i + green];
    rgb.pixels[3 * i + 2] = image.pixels[step * i + blue];
  }
  return rgb;
}

std::vector<std::uint8_t> encode_png(const Image& image, const PngOptions& options) {
  check_encodable(image, "a PNG");
  return codec::png_encode(image, 8, options);
}

std::vector<std::uint8_t> encode_png(int width, int height, std::span<const std::uint16_t> values,
                                     const PngOptions& options) {
  Image image;
  image.width = width;
  image.height = height;
  image.channels = 1;
  image.pixels.reserve(2 * values.size());
  for (const std::uint16_t value : values) {
    image.pixels.push_back(static_cast<std::uint8_t>(value >> 8));
    image.pixels.push_back(static_cast<std::uint8_t>(value & 255));
  }
  check_encodable(image, "a 16-bit PNG", 2);
  return codec::png_encode(image, 16, options);
}

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  check_encodable(image, "a JPEG");
  return codec::jpeg_encode(image, quality);
}

}  // namespace unet
