// What a file costs is in proportion to its size and its pixels, whatever it claims: sums are bounded, not parts. And
// what a JPEG lacks is never made up.
#include <ctime>

#include "engine/data/dataset.h"
#include "engine/io/image.h"
#include "tests/support/data_support.h"
#include "tests/support/peak_memory.h"

namespace unet::proportion_test {
namespace {

using test::expect_parts;
using test::message_of;
using Bytes = std::vector<std::uint8_t>;

void append(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

/// Processor time and memory of a call.
struct Cost {
  double seconds = 0;
  std::int64_t kib = 0;
};
template <class Call>
Cost cost_of(const Call& call) {
  Cost cost;
  const std::clock_t begin = std::clock();
  cost.kib = test::peak_kib(call);
  cost.seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  return cost;
}
void expect_at_most(const Cost& cost, double seconds, std::int64_t kib) {
  if (test::sanitized) return;
  EXPECT_LT(cost.seconds, seconds);
  EXPECT_LT(cost.kib, kib);
}

Image noise(int width, int height) {
  Image image(width, height, 3);
  std::uint32_t state = 1;
  for (std::uint8_t& value : image.pixels)
    value = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  return image;
}

/// The file with a complaint at its beginning that hurts no pixel.
Bytes of_jfif_7(Bytes jpeg) {
  jpeg[11] = 7;
  return jpeg;
}
Bytes with_stray_zero(Bytes jpeg) {
  jpeg.insert(jpeg.begin() + 4 + jpeg[4] * 256 + jpeg[5], 0);  // behind APP0
  return jpeg;
}

TEST(DecodeImage, MissingDataAreSeenBehindAHarmlessComplaint) {
  const Bytes jpeg = encode_jpeg(noise(64, 64));
  for (const auto& complained_of : {of_jfif_7(jpeg), with_stray_zero(jpeg)}) {
    EXPECT_EQ(decode_image(complained_of, "whole").pixels, decode_image(jpeg, "plain").pixels);
    EXPECT_EQ(decode_image(complained_of, "whole").warnings, 1);
    Bytes half(complained_of.begin(), complained_of.begin() + static_cast<std::ptrdiff_t>(complained_of.size() / 2));
    expect_parts(message_of([&] { decode_image(half, "half.jpg"); }), {"half.jpg: broken JPEG", "Premature end"});
    append(half, {0xff, 0xd9});
    expect_parts(message_of([&] { decode_image(half, "half.jpg"); }), {"half.jpg: broken JPEG", "premature end"});
  }
}

/// Deflate, fixed codes: a zero, then runs of 258 more.
Bytes packed_zeros(std::size_t runs) {
  Bytes out{0x78, 0x01};
  int used = 0;
  const auto put = [&](std::uint32_t code, int bits) {  // codes begin with their highest bit
    for (int bit = bits - 1; bit >= 0; --bit, ++used) {
      if (used % 8 == 0) out.push_back(0);
      out.back() |= static_cast<std::uint8_t>((code >> bit & 1) << used % 8);
    }
  };
  put(0b110, 3);  // the last block, fixed codes
  put(0b00110000, 8);
  for (std::size_t run = 0; run < runs; ++run) put(0b11000101'00000, 13);
  put(0, 7);
  const std::uint32_t zeros = static_cast<std::uint32_t>(1 + 258 * runs) % 65521;  // Adler-32: a is 1 all along
  append(out, {static_cast<std::uint8_t>(zeros >> 8), static_cast<std::uint8_t>(zeros), 0, 1});
  return out;
}

Bytes chunk(std::string_view type, const Bytes& data) {
  Bytes out(type.begin(), type.end());
  append(out, data);
  const std::uint32_t size = static_cast<std::uint32_t>(data.size()), crc = test::crc32(out.data(), out.size());
  for (int shift = 0; shift < 32; shift += 8) out.insert(out.begin(), static_cast<std::uint8_t>(size >> shift));
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(crc >> shift));
  return out;
}

TEST(Proportion, PackedTextsOfAPngAreBoundedInAll) {
  const Bytes packed = packed_zeros(30'000);  // 7.7 MB of 49 kB
  for (const char* type : {"zTXt", "iTXt"}) {
    Bytes text{'k', 0};
    append(text, type == std::string("zTXt") ? Bytes{0} : Bytes{1, 0, 0, 0});
    append(text, packed);
    Bytes file = test::gray_png(8, 8, 3).bytes(), texts;
    for (int i = 0; i < 127; ++i) append(texts, chunk(type, text));
    file.insert(file.begin() + 33, texts.begin(), texts.end());  // behind the header
    Image image;
    const Cost cost = cost_of([&] { image = decode_image(file, "texts.png"); });
    expect_at_most(cost, 0.5, 16 << 10);
    EXPECT_EQ(image.pixels, Bytes(64, 3));
  }
}

struct Jpeg {
  int width, height;
  Bytes bytes{0xff, 0xd8};

  void segment(std::uint8_t marker, const Bytes& data) {
    const std::size_t size = data.size() + 2;
    append(bytes, {0xff, marker, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)});
    append(bytes, data);
  }
  std::size_t blocks() const { return static_cast<std::size_t>((width + 7) / 8 * ((height + 7) / 8)); }
};

/// Gray, progressive: one scan of the means, then each coefficient's bits one scan after the other, all zero.
Bytes progressive_jpeg(int width, int height, int scans, bool arithmetic) {
  Jpeg jpeg{width, height};
  Bytes table(65, 1);
  table[0] = 0;
  jpeg.segment(0xdb, table);
  const auto byte = [](int value) { return static_cast<std::uint8_t>(value); };
  jpeg.segment(arithmetic ? 0xca : 0xc2,
               {8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), 1, 1, 0x11, 0});
  Bytes means, runs;  // entropy-coded: arithmetic decoding needs no byte for zeros
  if (!arithmetic) {
    for (const int kind : {0x00, 0x10}) {  // of one code of one bit: no difference; a run of 2^14 blocks and more
      Bytes codes{byte(kind), 1};
      codes.resize(17);
      codes.push_back(byte(kind == 0 ? 0 : 0xe0));
      jpeg.segment(0xc4, codes);
    }
    means.assign((jpeg.blocks() + 7) / 8, 0);
    runs.assign((15 * ((jpeg.blocks() + 0x3fff) / 0x4000) + 7) / 8, 0);  // 15 bits each
  }
  jpeg.segment(0xda, {1, 1, 0, 0, 0, 0});
  append(jpeg.bytes, means);
  for (int scan = 1; scan < scans; ++scan) {
    const int coefficient = 1 + (scan - 1) / 14, low = 13 - (scan - 1) % 14, high = low == 13 ? 0 : low + 1;
    jpeg.segment(0xda, {1, 1, 0, byte(coefficient), byte(coefficient), byte(high << 4 | low)});
    append(jpeg.bytes, runs);
  }
  append(jpeg.bytes, {0xff, 0xd9});
  return jpeg.bytes;
}

TEST(Proportion, ScansOfAJpegCountWithItsPixels) {
  for (const bool arithmetic : {false, true}) {
    const Bytes ordinary = progressive_jpeg(1024, 512, 20, arithmetic);
    EXPECT_EQ(decode_image(ordinary, "ordinary").warnings, 0);
    const Bytes many = progressive_jpeg(4000, 2500, 800, arithmetic);
    EXPECT_LT(many.size(), 200'000u);
    std::string message;
    const Cost cost = cost_of([&] { message = message_of([&] { decode_image(many, "many.jpg"); }); });
    expect_parts(message, {"many.jpg", "4000x2500 pixels in 800 scans", "pixels times scans", "save it again"});
    expect_at_most(cost, 0.2, 16 << 10);
  }
}

TEST(Proportion, ScansOfAThumbnailDoNotCount) {
  Bytes jpeg = progressive_jpeg(4000, 2500, 100, false), thumbnail = jpeg;
  thumbnail.resize(60'000);
  thumbnail.insert(thumbnail.begin(), {0xff, 0xe1, 60'002 >> 8, 60'002 & 0xff});
  jpeg.insert(jpeg.begin() + 2, thumbnail.begin(), thumbnail.end());
  append(jpeg, Bytes(jpeg));  // and those of a second picture behind the first
  const Cost cost = cost_of([&] { EXPECT_EQ(decode_image(jpeg, "photo").width, 4000); });
  expect_at_most(cost, 5, 200 << 10);
}

TEST(Proportion, AListOfNothingCostsItsSize) {
  const test::Folder folder;
  DatasetOptions options;
  options.folder = folder.path();
  for (const char* name : {"a", "b"}) {
    test::write_bytes(folder / "images" / (std::string(name) + ".png"), test::gray_png(2, 2, 1).bytes());
    test::write_bytes(folder / "masks" / (std::string(name) + ".png"), test::gray_png(2, 2, 1).bytes());
  }
  constexpr std::size_t size = 35'000'000;
  std::string names = "a\n", comments;
  for (int i = 0; names.size() < size; ++i) names += fmt::format("{:x}\n", i + 0x100000);
  for (; comments.size() < size; comments += "#\n\n \n") {
  }
  const std::vector<std::pair<std::string, std::string>> lists{{names, "\"100000\" has no photograph"},
                                                               {comments + "b\n../c", "another folder"}};
  for (const auto& [text, reason] : lists) {
    test::write_text(folder / "train.txt", text);
    std::string message;
    const Cost cost = cost_of([&] { message = message_of([&] { Dataset{options}; }); });
    expect_parts(message, {"train.txt:", reason});
    // 9 s where each line cost its neighbours; machines differ by a factor of four.
    expect_at_most(cost, 5, 4 * static_cast<std::int64_t>(size) / 1024);
  }
}

}  // namespace
}  // namespace unet::proportion_test
