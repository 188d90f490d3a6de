#include "engine/io/png_writer.h"

#include "engine/core/error.h"
#include "engine/io/codec.h"

namespace unet {
namespace {

std::unique_ptr<codec::PngEncoder> encoder_of(ImageSize size, int channels, int bits, const PngOptions& options) {
  const bool known = bits == 8 ? channels == 1 || channels == 3 : bits == 16 && channels == 1;
  if (!known || size.width < 1 || size.height < 1 || size.width > kMaxImageSide || size.height > kMaxImageSide) {
    throw Error("cannot encode a PNG of {}x{} with {} channels of {} bits, expected gray or RGB", size.width,
                size.height, channels, bits);
  }
  Image whole;
  whole.width = size.width;
  whole.height = size.height;
  whole.channels = channels;
  return std::make_unique<codec::PngEncoder>(whole, bits, options);
}

}  // namespace

PngWriter::PngWriter(const std::filesystem::path& path, ImageSize size, int channels, int bits,
                     const PngOptions& options)
    : path_(path),
      row_bytes_(static_cast<std::size_t>(size.width) * channels * bits / 8),
      left_(row_bytes_ * size.height),
      encoder_(encoder_of(size, channels, bits, options)),
      file_(path, 0, DurableFile::Outlives::process) {}

PngWriter::~PngWriter() = default;

void PngWriter::put(const std::uint8_t* bytes, std::size_t count) {
  if (count % row_bytes_ != 0 || count > left_) {
    throw Error("{}: {} bytes of rows of {}, expected whole rows and {} bytes at most", path_.string(), count,
                row_bytes_, left_);
  }
  encoder_->rows(bytes, static_cast<int>(count / row_bytes_));
  left_ -= count;
  const std::vector<std::uint8_t> encoded = encoder_->take();
  file_.write(encoded.data(), encoded.size());
}

void PngWriter::rows(std::span<const std::uint8_t> values) { put(values.data(), values.size()); }

void PngWriter::rows(std::span<const std::uint16_t> values) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(2 * values.size());
  for (const std::uint16_t value : values) {
    bytes.push_back(static_cast<std::uint8_t>(value >> 8));
    bytes.push_back(static_cast<std::uint8_t>(value & 255));
  }
  put(bytes.data(), bytes.size());
}

void PngWriter::commit() {
  if (left_ > 0) throw Error("{}: {} bytes of its rows are missing", path_.string(), left_);
  encoder_->end();
  const std::vector<std::uint8_t> encoded = encoder_->take();
  file_.write(encoded.data(), encoded.size());
  file_.commit();
}

}  // namespace unet
