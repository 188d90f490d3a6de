// PNG by libpng: every colour type and bit depth, interlaced or not.
#include <png.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/codec.h"

namespace unet::codec {

struct PngState {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const std::uint8_t* at = nullptr;
  const std::uint8_t* end = nullptr;
  std::vector<std::uint8_t> written;
  char message[256] = {};
  std::int64_t warnings = 0;
  bool writes = false;

  explicit PngState(bool for_writing) : writes(for_writing) {}
  PngState(const PngState&) = delete;
  PngState& operator=(const PngState&) = delete;
  ~PngState() {
    if (writes) {
      png_destroy_write_struct(&png, &info);
    } else {
      png_destroy_read_struct(&png, &info, nullptr);
    }
  }
};

namespace {

/// Signature and the IHDR chunk: 8 + length 4, type 4, data 13.
constexpr std::size_t kHeadBytes = 29;

/// What libpng may take at once (a row is 0.5 MB at most), as its own limits only warn.
constexpr png_alloc_size_t kMaxAllocation = 8'000'000;
/// A profile and each of the packed texts, which nobody looks at here: but for their faults they are passed over.
constexpr png_alloc_size_t kMaxUnpacked = 1'000'000;
constexpr png_uint_32 kMaxPackedTexts = 8;

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state->message, sizeof state->message, "%s", text);
  png_longjmp(png, 1);
}

void on_warning(png_structp png, png_const_charp) { ++static_cast<PngState*>(png_get_error_ptr(png))->warnings; }

void on_read(png_structp png, png_bytep to, png_size_t count) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (static_cast<std::size_t>(state->end - state->at) < count) png_error(png, "the file ends early");
  std::memcpy(to, state->at, count);
  state->at += count;
}

png_voidp allocate(png_structp, png_alloc_size_t size) { return size <= kMaxAllocation ? std::malloc(size) : nullptr; }

void release(png_structp, png_voidp block) { std::free(block); }

/// Sums are bounded too: chunks that may come any number of times are read a few times, or passed over.
void bound_chunks(png_structp png) {
  static const png_byte unused[] = "tEXt\0iTXt\0sPLT";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unused, 3);
  png_set_chunk_malloc_max(png, kMaxUnpacked);
  png_set_chunk_cache_max(png, kMaxPackedTexts + 2);  // its last place is never given
}

bool read_header(PngState& state) {
  state.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning, nullptr, allocate, release);
  if (!state.png) return false;
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  state.info = png_create_info_struct(state.png);
  if (!state.info) return false;
  png_set_user_limits(state.png, kMaxImageSide, kMaxImageSide);
  bound_chunks(state.png);
  png_set_read_fn(state.png, &state, on_read);
  png_read_info(state.png, state.info);
  return true;
}

bool set_transforms(PngState& state, PngUse use) {
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  if (use == PngUse::mask) {
    png_set_packing(state.png);  // one sample a byte, value as stored
  } else {
    png_set_expand(state.png);  // palette to RGB, gray to 8 bits, tRNS to alpha
    png_set_strip_16(state.png);
  }
  png_set_interlace_handling(state.png);
  png_read_update_info(state.png, state.info);
  return true;
}

bool read_rows(PngState& state, std::uint8_t* pixels, int height, std::size_t row_bytes, int passes) {
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  for (int pass = 0; pass < passes; ++pass) {
    for (int y = 0; y < height; ++y) png_read_row(state.png, pixels + static_cast<std::size_t>(y) * row_bytes, nullptr);
  }
  png_read_end(state.png, state.info);
  return true;
}

[[noreturn]] void refuse_png(const std::string& name, const char* reason) {
  throw Error("{}: broken PNG: {}; expected a complete PNG: replace the file or take it off the data set", name,
              *reason ? reason : "out of memory");
}

std::uint32_t big_endian(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

void check_palette(const Image& mask, int entries, const std::string& name) {
  const auto beyond = std::find_if(mask.pixels.begin(), mask.pixels.end(), [&](int v) { return v >= entries; });
  if (beyond == mask.pixels.end()) return;
  const auto at = beyond - mask.pixels.begin();
  throw Error("{}: palette index {} at x={} y={}, but the palette has {} entries: mend the mask", name, int{*beyond},
              at % mask.width, at / mask.width, entries);
}

/// The limits, before libpng allocates.
void check_size(Bytes bytes, const std::string& name) {
  if (bytes.size() < kHeadBytes || std::memcmp(bytes.data() + 12, "IHDR", 4) != 0) refuse_png(name, "it has no header");
  check_limits(big_endian(bytes.data() + 16), big_endian(bytes.data() + 20), name);
}

/// Up to the image data.
void open(PngState& state, Bytes bytes, const std::string& name) {
  check_size(bytes, name);
  state.at = bytes.data();
  state.end = state.at + bytes.size();
  if (!read_header(state)) refuse_png(name, state.message);
}

int orientation(const PngState& state) {
  png_bytep exif = nullptr;
  png_uint_32 size = 0;
  return png_get_eXIf_1(state.png, state.info, &size, &exif) != 0 ? tiff_orientation({exif, size}) : 1;
}

}  // namespace

ImageHead png_head(Bytes bytes, const std::string& name) {
  PngState state(false);
  open(state, bytes, name);
  const bool alpha = (png_get_color_type(state.png, state.info) & PNG_COLOR_MASK_ALPHA) != 0 ||
                     png_get_valid(state.png, state.info, PNG_INFO_tRNS) != 0;
  return {{static_cast<int>(png_get_image_width(state.png, state.info)),
           static_cast<int>(png_get_image_height(state.png, state.info))},
          orientation(state),
          alpha,
          png_get_bit_depth(state.png, state.info)};
}

Image png_decode(Bytes bytes, const std::string& name, PngUse use, Exif exif) {
  PngState state(false);
  open(state, bytes, name);
  const int turn = exif == Exif::apply ? orientation(state) : 1;  // before the rows: of what precedes them, as the head
  const int color_type = png_get_color_type(state.png, state.info);
  if (use == PngUse::mask && png_get_bit_depth(state.png, state.info) == 16) {
    throw Error("{}: mask is a 16-bit PNG, expected 8 bits with the class index or colour: convert the mask", name);
  }
  if (!set_transforms(state, use)) refuse_png(name, state.message);

  Image image(static_cast<int>(png_get_image_width(state.png, state.info)),
              static_cast<int>(png_get_image_height(state.png, state.info)), png_get_channels(state.png, state.info));
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * image.channels;
  if (png_get_rowbytes(state.png, state.info) != row_bytes) refuse_png(name, "the row length makes no sense");
  const int passes =
      png_get_interlace_type(state.png, state.info) == PNG_INTERLACE_ADAM7 ? PNG_INTERLACE_ADAM7_PASSES : 1;
  if (!read_rows(state, image.pixels.data(), image.height, row_bytes, passes)) refuse_png(name, state.message);
  if (use == PngUse::mask && color_type == PNG_COLOR_TYPE_PALETTE) {
    png_colorp palette = nullptr;
    int entries = 0;
    png_get_PLTE(state.png, state.info, &palette, &entries);
    check_palette(image, entries, name);
    for (int i = 0; i < entries; ++i) {
      for (const png_byte value : {palette[i].red, palette[i].green, palette[i].blue}) image.palette.push_back(value);
    }
  }
  image.warnings = state.warnings;
  return apply_orientation(std::move(image), turn);
}

namespace {

/// Growing a vector may throw, which must not pass through libpng's frames.
void on_write(png_structp png, png_bytep from, png_size_t count) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  bool grown = true;
  try {
    state->written.insert(state->written.end(), from, from + count);
  } catch (...) {
    grown = false;
  }
  if (!grown) png_error(png, "out of memory");
}

/// What the rows are besides their pixels; all of it owned by the caller, none of it needs a destructor here.
struct RowFormat {
  int bits, colour_type;
  const Rgb* palette;
  int palette_entries;
  const char* software;
  bool fast;
};

/// Sub is the one filter that makes photographs small at little cost; flat areas and indices are best left as they are.
void set_speed(png_structp png, int colour_type, int bits) {
  png_set_compression_level(png, 1);
  const bool smooth = colour_type == PNG_COLOR_TYPE_RGB || bits == 16;
  png_set_filter(png, PNG_FILTER_TYPE_BASE, smooth ? PNG_FILTER_SUB : PNG_FILTER_NONE);
}

bool write_head(PngState& state, const Image& image, const RowFormat& format) {
  state.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  if (!state.png) return false;
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  state.info = png_create_info_struct(state.png);
  if (!state.info) return false;
  png_set_write_fn(state.png, &state, on_write, nullptr);
  png_set_IHDR(state.png, state.info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height),
               format.bits, format.colour_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (format.palette_entries > 0) {
    png_color entries[256] = {};
    for (int i = 0; i < format.palette_entries; ++i) {
      entries[i] = {format.palette[i][0], format.palette[i][1], format.palette[i][2]};
    }
    png_set_PLTE(state.png, state.info, entries, format.palette_entries);
  }
  if (*format.software) {
    char key[] = "Software", text[128];
    std::snprintf(text, sizeof text, "%s", format.software);
    png_text entry = {};
    entry.compression = PNG_TEXT_COMPRESSION_NONE;
    entry.key = key;
    entry.text = text;
    png_set_text(state.png, state.info, &entry, 1);
  }
  if (format.fast) set_speed(state.png, format.colour_type, format.bits);
  png_write_info(state.png, state.info);
  return true;
}

bool write_rows(PngState& state, const std::uint8_t* pixels, int count, std::size_t row_bytes) {
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  for (int y = 0; y < count; ++y) png_write_row(state.png, pixels + static_cast<std::size_t>(y) * row_bytes);
  return true;
}

bool write_end(PngState& state) {
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  png_write_end(state.png, state.info);
  return true;
}

}  // namespace

PngEncoder::PngEncoder(const Image& image, int bits, const PngOptions& options)
    : state_(std::make_unique<PngState>(true)),
      row_bytes_(static_cast<std::size_t>(image.width) * image.channels * bits / 8) {
  const auto entries = options.palette.size();
  if (entries > 256 || (entries > 0 && (image.channels != 1 || bits != 8))) {
    throw Error(
        "cannot encode a PNG: a palette of {} colours for {} channels of {} bits; expected at most 256 for 1 of 8",
        entries, image.channels, bits);
  }
  const int colour_type = entries > 0           ? PNG_COLOR_TYPE_PALETTE
                          : image.channels == 1 ? PNG_COLOR_TYPE_GRAY
                                                : PNG_COLOR_TYPE_RGB;
  if (!write_head(*state_, image,
                  {bits, colour_type, options.palette.data(), static_cast<int>(entries), options.software.c_str(),
                   options.fast})) {
    throw Error("cannot encode a PNG: {}", state_->message);
  }
}

PngEncoder::~PngEncoder() = default;

void PngEncoder::rows(const std::uint8_t* pixels, int count) {
  if (!write_rows(*state_, pixels, count, row_bytes_)) throw Error("cannot encode a PNG: {}", state_->message);
}

void PngEncoder::end() {
  if (!write_end(*state_)) throw Error("cannot encode a PNG: {}", state_->message);
}

std::vector<std::uint8_t> PngEncoder::take() { return std::exchange(state_->written, {}); }

std::vector<std::uint8_t> png_encode(const Image& image, int bits, const PngOptions& options) {
  PngEncoder encoder(image, bits, options);
  if (!options.palette.empty()) check_palette(image, static_cast<int>(options.palette.size()), "cannot encode a PNG");
  encoder.rows(image.pixels.data(), image.height);
  encoder.end();
  return encoder.take();
}

}  // namespace unet::codec
