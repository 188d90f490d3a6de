// JPEG by libjpeg(-turbo): baseline and progressive, gray, YCbCr, RGB, CMYK and YCCK.
#include <cstdio>  // jpeglib.h needs FILE

#include <jpeglib.h>

#include <jerror.h>

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <cstring>

#include "engine/core/error.h"
#include "engine/io/codec.h"

namespace unet::codec {
namespace {

struct JpegReader {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX] = {};
  std::int64_t warnings = 0;

  JpegReader() = default;
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&info); }  // does nothing to a struct that is still zero
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* reader = static_cast<JpegReader*>(info->client_data);
  info->err->format_message(info, reader->message);
  std::longjmp(reader->escape, 1);
}

/// Complaints that leave every pixel as it was stored: they are counted.
bool is_harmless(int complaint) {
  switch (complaint) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_EXTRANEOUS_DATA:  // bytes between segments
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:  // numbers of a scan that its kind of JPEG does not use
      return true;
    default:
      return false;
  }
}

/// After any other complaint libjpeg makes up the pixels that it misses.
void note_warning(j_common_ptr info, int level) {
  if (level >= 0) return;
  if (!is_harmless(info->err->msg_code)) leave(info);
  ++static_cast<JpegReader*>(info->client_data)->warnings;
}

bool read_header(JpegReader& reader, const std::uint8_t* bytes, std::size_t size) {
  reader.info.err = jpeg_std_error(&reader.errors);
  reader.info.client_data = &reader;
  reader.errors.error_exit = leave;
  reader.errors.emit_message = note_warning;
  if (setjmp(reader.escape) != 0) return false;
  jpeg_create_decompress(&reader.info);
  jpeg_mem_src(&reader.info, bytes, static_cast<unsigned long>(size));
  jpeg_save_markers(&reader.info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&reader.info, TRUE);
  return true;
}

/// Fills [height, width, output components]; the frame holds nothing but the row pointer, which is set anew for each
/// row.
bool read_rows(JpegReader& reader, std::uint8_t* pixels, std::size_t row_bytes) {
  if (setjmp(reader.escape) != 0) return false;
  jpeg_start_decompress(&reader.info);
  while (reader.info.output_scanline < reader.info.output_height) {
    JSAMPROW row = pixels + reader.info.output_scanline * row_bytes;
    jpeg_read_scanlines(&reader.info, &row, 1);
  }
  jpeg_finish_decompress(&reader.info);
  return true;
}

[[noreturn]] void refuse_jpeg(const std::string& name, const char* reason) {
  throw Error("{}: broken JPEG: {}; expected a complete JPEG: replace the file or take it off the data set", name,
              reason);
}

/// The scans that libjpeg would read, found as it finds them: from marker to marker, up to the first end of an image.
int count_scans(Bytes bytes) {
  int scans = 0;
  const std::uint8_t *at = bytes.data(), *const end = at + bytes.size();
  while ((at = static_cast<const std::uint8_t*>(std::memchr(at, 0xff, static_cast<std::size_t>(end - at))))) {
    while (at < end && *at == 0xff) ++at;
    if (at == end || *at == 0xd9) break;
    const std::uint8_t marker = *at++;
    if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;  // no segment: it has no length
    if (end - at < 2) break;
    scans += marker == 0xda;
    at += std::min<std::ptrdiff_t>(end - at, std::max(2, at[0] << 8 | at[1]));
  }
  return scans;
}

/// A scan walks the whole image, whether or not it has bytes for it. Arithmetic coding takes its time for each
/// coefficient even where its bytes have run out.
void check_scans(const JpegReader& reader, Bytes bytes, const std::string& name) {
  const int scans = count_scans(bytes);
  if (scans > kMaxJpegScans) {
    throw Error("{}: JPEG with {} scans, at most {} are read: save it again as an ordinary JPEG or PNG", name, scans,
                kMaxJpegScans);
  }
  const auto padded = [](std::int64_t side) { return (side + 31) / 32 * 32; };  // to whole units of any sampling
  const std::int64_t most = reader.info.arith_code ? kMaxArithmeticScanPixels : kMaxJpegScanPixels;
  if (scans * padded(reader.info.image_width) * padded(reader.info.image_height) <= most) return;
  throw Error(
      "{}: JPEG of {}x{} pixels in {} scans{}, expected at most {} pixels times scans: save it again as an "
      "ordinary JPEG or PNG",
      name, reader.info.image_width, reader.info.image_height, scans,
      reader.info.arith_code ? " of arithmetic coding" : "", most);
}

int orientation(const JpegReader& reader) {
  for (const jpeg_marker_struct* marker = reader.info.marker_list; marker; marker = marker->next) {
    const int found = exif_orientation({marker->data, marker->data_length});
    if (found != 1) return found;
  }
  return 1;
}

void open(JpegReader& reader, Bytes bytes, const std::string& name) {
  if (!read_header(reader, bytes.data(), bytes.size())) refuse_jpeg(name, reader.message);
  check_limits(reader.info.image_width, reader.info.image_height, name);
}

/// Pillow's conversion; every known writer of CMYK follows Adobe in storing 255 - ink, which needs no marker to tell.
void cmyk_to_rgb(std::vector<std::uint8_t>& pixels) {
  const std::size_t count = pixels.size() / 4;
  for (std::size_t i = 0; i < count; ++i) {
    const int not_black = pixels[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const int product = (255 - pixels[4 * i + c]) * not_black + 128;
      pixels[3 * i + c] = static_cast<std::uint8_t>(std::max(0, not_black - (((product >> 8) + product) >> 8)));
    }
  }
  pixels.resize(count * 3);
}

}  // namespace

ImageHead jpeg_head(Bytes bytes, const std::string& name) {
  JpegReader reader;
  open(reader, bytes, name);
  return {{static_cast<int>(reader.info.image_width), static_cast<int>(reader.info.image_height)}, orientation(reader)};
}

Image jpeg_decode(Bytes bytes, const std::string& name, Exif exif) {
  JpegReader reader;
  open(reader, bytes, name);
  check_scans(reader, bytes, name);
  // Before the rows: libjpeg drops the markers at the end.
  const int turn = exif == Exif::apply ? orientation(reader) : 1;
  int channels = 3;
  switch (reader.info.jpeg_color_space) {
    case JCS_GRAYSCALE:
      reader.info.out_color_space = JCS_GRAYSCALE;
      channels = 1;
      break;
    case JCS_RGB:
    case JCS_YCbCr:
      reader.info.out_color_space = JCS_RGB;
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      reader.info.out_color_space = JCS_CMYK;
      channels = 4;
      break;
    default:
      throw Error("{}: JPEG with {} components, expected 1 (gray), 3 (colour) or 4 (CMYK): save it again as RGB", name,
                  reader.info.num_components);
  }
  Image image(static_cast<int>(reader.info.image_width), static_cast<int>(reader.info.image_height), channels);
  if (!read_rows(reader, image.pixels.data(), static_cast<std::size_t>(image.width) * channels)) {
    refuse_jpeg(name, reader.message);
  }
  image.warnings = reader.warnings;
  if (channels == 4) {
    cmyk_to_rgb(image.pixels);
    image.channels = 3;
  }
  return apply_orientation(std::move(image), turn);
}

namespace {

struct JpegWriter {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX] = {};
  unsigned char* buffer = nullptr;
  unsigned long size = 0;

  JpegWriter() = default;
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;
  ~JpegWriter() {
    jpeg_destroy_compress(&info);
    std::free(buffer);
  }
};

[[noreturn]] void leave_writer(j_common_ptr info) {
  auto* writer = static_cast<JpegWriter*>(info->client_data);
  info->err->format_message(info, writer->message);
  std::longjmp(writer->escape, 1);
}

bool write_rows(JpegWriter& writer, const Image& image, int quality) {
  writer.info.err = jpeg_std_error(&writer.errors);
  writer.info.client_data = &writer;
  writer.errors.error_exit = leave_writer;
  if (setjmp(writer.escape) != 0) return false;
  jpeg_create_compress(&writer.info);
  jpeg_mem_dest(&writer.info, &writer.buffer, &writer.size);
  writer.info.image_width = static_cast<JDIMENSION>(image.width);
  writer.info.image_height = static_cast<JDIMENSION>(image.height);
  writer.info.input_components = image.channels;
  writer.info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&writer.info);
  jpeg_set_quality(&writer.info, quality, TRUE);
  jpeg_start_compress(&writer.info, TRUE);
  while (writer.info.next_scanline < writer.info.image_height) {
    // libjpeg takes rows as mutable and does not write to them.
    JSAMPROW row = const_cast<std::uint8_t*>(image.row(static_cast<int>(writer.info.next_scanline)));
    jpeg_write_scanlines(&writer.info, &row, 1);
  }
  jpeg_finish_compress(&writer.info);
  return true;
}

}  // namespace

std::vector<std::uint8_t> jpeg_encode(const Image& image, int quality) {
  JpegWriter writer;
  if (!write_rows(writer, image, quality)) throw Error("cannot encode a JPEG: {}", writer.message);
  return {writer.buffer, writer.buffer + writer.size};
}

}  // namespace unet::codec
