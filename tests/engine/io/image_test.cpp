// Decoding on files made here: every kind of PNG, EXIF, limits, cut files, what is no image, writing.
#include "engine/io/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cmath>
#include <ctime>

#include "engine/io/codec.h"
#include "engine/io/durable_file.h"
#include "tests/support/data_support.h"
#include "tests/support/peak_memory.h"

namespace unet::image_test {
namespace {

using test::expect_parts;
using test::Folder;
using test::message_of;
using test::PngFile;
using Bytes = std::vector<std::uint8_t>;

Image decode(const PngFile& png) { return decode_image(png.bytes(), "made.png"); }
Image mask(const PngFile& png) { return decode_mask(png.bytes(), "made.png"); }

TEST(DecodeImage, ScalesGrayBelowEightBits) {
  const std::array<std::pair<int, Bytes>, 3> depths{
      {{1, {0, 255, 0, 255}}, {2, {0, 85, 170, 255}}, {4, {0, 17, 238, 255}}}};
  const std::array<Bytes, 3> packed{{{0x50}, {0x1b}, {0x01, 0xef}}};
  const std::array<Bytes, 3> raw{{{0, 1, 0, 1}, {0, 1, 2, 3}, {0, 1, 14, 15}}};
  for (std::size_t i = 0; i < depths.size(); ++i) {
    PngFile png{4, 1, depths[i].first, 0, {}, {}, packed[i]};
    EXPECT_EQ(decode(png).channels, 1);
    EXPECT_EQ(decode(png).pixels, depths[i].second);
    EXPECT_EQ(mask(png).pixels, raw[i]);
  }
}

TEST(DecodeImage, TakesTheHighByteOfSixteenBits) {
  EXPECT_EQ(decode({2, 1, 16, 0, {}, {}, {0x12, 0xff, 0xfe, 0xff}}).pixels, (Bytes{0x12, 0xfe}));
}

TEST(DecodeImage, ExpandsPaletteAndTransparency) {
  const PngFile plain{2, 1, 8, 3, {9, 8, 7, 6, 5, 4}, {}, {1, 0}};
  EXPECT_EQ(decode(plain).channels, 3);
  EXPECT_EQ(decode(plain).pixels, (Bytes{6, 5, 4, 9, 8, 7}));
  EXPECT_EQ(mask(plain).pixels, (Bytes{1, 0}));
  const PngFile transparent{2, 1, 8, 3, {9, 8, 7, 6, 5, 4}, {100}, {1, 0}};
  EXPECT_EQ(decode(transparent).channels, 4);
  EXPECT_EQ(decode(transparent).pixels, (Bytes{6, 5, 4, 255, 9, 8, 7, 100}));
  EXPECT_EQ(mask(transparent).pixels, (Bytes{1, 0}));
  const PngFile gray_key{2, 1, 8, 0, {}, {0, 7}, {7, 8}};
  EXPECT_EQ(decode(gray_key).channels, 2);
  EXPECT_EQ(decode(gray_key).pixels, (Bytes{7, 0, 8, 255}));
}

TEST(DecodeImage, RgbDropsAlphaAndRepeatsGray) {
  EXPECT_EQ(to_rgb(decode({1, 1, 8, 6, {}, {}, {1, 2, 3, 4}})).pixels, (Bytes{1, 2, 3}));
  EXPECT_EQ(to_rgb(decode({1, 1, 8, 4, {}, {}, {9, 4}})).pixels, (Bytes{9, 9, 9}));
  EXPECT_EQ(to_rgb(decode({1, 1, 8, 0, {}, {}, {5}})).pixels, (Bytes{5, 5, 5}));
}

TEST(DecodeMask, KeepsColoursAndDropsOpaqueAlpha) {
  EXPECT_EQ(mask({1, 1, 8, 2, {}, {}, {1, 2, 3}}).channels, 3);
  EXPECT_EQ(mask({2, 1, 8, 6, {}, {}, {1, 2, 3, 255, 4, 5, 6, 255}}).pixels, (Bytes{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(mask({2, 1, 8, 4, {}, {}, {1, 255, 2, 255}}).pixels, (Bytes{1, 2}));
}

TEST(DecodeMask, RefusesWhatHoldsNoIndices) {
  expect_parts(message_of([] { mask({1, 1, 8, 6, {}, {}, {1, 2, 3, 4}}); }), {"made.png", "x=0 y=0 (alpha 4)"});
  expect_parts(message_of([] { mask({1, 1, 8, 4, {}, {}, {1, 2}}); }), {"alpha 2"});
  expect_parts(message_of([] { mask({1, 1, 16, 0, {}, {}, {1, 2}}); }), {"16-bit PNG"});
  expect_parts(message_of([] {
                 mask({3, 1, 8, 3, {0, 0, 0, 1, 1, 1}, {}, {0, 1, 2}});
               }),
               {"made.png", "palette index 2", "x=2 y=0", "2 entries"});
  expect_parts(message_of([] { decode_mask(encode_jpeg(Image(8, 8, 1)), "m.png"); }), {"m.png", "JPEG", "PNG"});
  expect_parts(message_of([] { decode_mask(Bytes{'G', 'I', 'F', '8', '9', 'a'}, "m.gif"); }), {"m.gif", "a GIF image"});
}

TEST(DecodeImage, NamesWhatIsNoImage) {
  const auto found = [](std::string_view start) {
    return message_of([&] { decode_image(Bytes(start.begin(), start.end()), "x.jpg"); });
  };
  expect_parts(found("GIF89a..."), {"x.jpg", "a GIF image", "expected JPEG or PNG", "convert"});
  expect_parts(found(""), {"an empty file"});
  expect_parts(found("BM...."), {"a BMP image"});
  expect_parts(found("RIFF....WEBPVP8 "), {"a WebP image"});
  expect_parts(found("<!DOCTYPE html>"), {"HTML"});
  expect_parts(found("version https://git-lfs.github.com/spec/v1"), {"Git LFS pointer"});
  expect_parts(found("\x01\x02\x03\x04\x05"), {"01 02 03 04"});
}

Image gradient(int width, int height, int channels) {
  Image image(width, height, channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width * channels; ++x) {
      image.row(y)[x] = static_cast<std::uint8_t>((x * 5 / channels + y * 3 + x % channels * 40) % 256);
    }
  }
  return image;
}

/// The JPEG with an EXIF block that holds the orientation alone.
Bytes with_orientation(Bytes jpeg, std::uint8_t orientation, bool big_endian) {
  Bytes exif{0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0};
  const Bytes little{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0};
  const Bytes big{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0};
  exif.insert(exif.end(), (big_endian ? big : little).begin(), (big_endian ? big : little).end());
  jpeg.insert(jpeg.begin() + 2, exif.begin(), exif.end());
  return jpeg;
}

TEST(DecodeImage, TurnsByExifOrientation) {
  const Bytes jpeg = encode_jpeg(gradient(24, 16, 3), 95);
  const Image stored = decode_image(jpeg, "plain");
  const int w = stored.width, h = stored.height;
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Bytes file = with_orientation(jpeg, static_cast<std::uint8_t>(orientation), orientation % 2 == 0);
    const Image upright = decode_image(file, "turned");
    ASSERT_EQ(upright.width, orientation < 5 ? w : h);
    ASSERT_EQ(upright.height, orientation < 5 ? h : w);
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        // EXIF 2.3, table of the orientation: where row 0 and column 0 of the stored pixels are seen.
        int at_x = x, at_y = y;
        switch (orientation) {
          case 2:
            at_x = w - 1 - x;
            break;
          case 3:
            at_x = w - 1 - x, at_y = h - 1 - y;
            break;
          case 4:
            at_y = h - 1 - y;
            break;
          case 5:
            at_x = y, at_y = x;
            break;
          case 6:
            at_x = h - 1 - y, at_y = x;
            break;
          case 7:
            at_x = h - 1 - y, at_y = w - 1 - x;
            break;
          case 8:
            at_x = y, at_y = w - 1 - x;
            break;
          default:
            break;
        }
        for (int c = 0; c < 3; ++c) {
          ASSERT_EQ(upright.row(at_y)[3 * at_x + c], stored.row(y)[3 * x + c]) << "orientation " << orientation;
        }
      }
    }
    test::Folder folder;
    test::write_bytes(folder / "turned.jpg", file);
    const ImageHead head = read_image_head(folder / "turned.jpg");
    EXPECT_EQ(head.size, (ImageSize{w, h}));
    EXPECT_EQ(head.seen_size(Exif::ignore), (ImageSize{w, h}));
    EXPECT_EQ(head.seen_size(Exif::apply), (ImageSize{upright.width, upright.height}));
    EXPECT_EQ(head.orientation, orientation);
    EXPECT_EQ(decode_image(file, "stored", Exif::ignore).pixels, stored.pixels);
  }
}

TEST(DecodeImage, TurnsByThePngsExif) {
  const test::Folder folder;
  const Image stored = gradient(5, 3, 3);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    Bytes file = test::png_with_orientation(stored, orientation);
    const Image upright = decode_image(file, "turned");
    const Image expected = codec::apply_orientation(stored, orientation);
    EXPECT_EQ(upright.pixels, expected.pixels) << orientation;
    EXPECT_EQ(upright.width, orientation < 5 ? 5 : 3);
    EXPECT_EQ(decode_image(file, "stored", Exif::ignore).pixels, stored.pixels);
    test::write_bytes(folder / "turned.png", file);
    EXPECT_EQ(read_image_head(folder / "turned.png").orientation, orientation);
    file[8 + 25 + 8 + 19] ^= 1;  // the chunk no longer fits its CRC: as if it were not there
    EXPECT_EQ(decode_image(file, "damaged").pixels, stored.pixels);
    test::write_bytes(folder / "turned.png", file);
    EXPECT_EQ(read_image_head(folder / "turned.png").orientation, 1);
  }
}

TEST(ReadImageHead, KnowsAlphaAndBits) {
  const test::Folder folder;
  const auto head = [&](const test::PngFile& png) {
    test::write_bytes(folder / "a.png", png.bytes());
    return read_image_head(folder / "a.png");
  };
  EXPECT_FALSE(head(test::gray_png(3, 2, 1)).alpha);
  EXPECT_EQ(head(test::gray_png(3, 2, 1)).bits, 8);
  for (const int type : {4, 6}) EXPECT_TRUE(head({1, 1, 8, type, {}, {}, Bytes(4)}).alpha);
  EXPECT_TRUE(head({1, 1, 8, 3, {1, 2, 3}, {0}, Bytes(1)}).alpha);
  EXPECT_EQ(head({2, 1, 16, 2, {}, {}, Bytes(12)}).bits, 16);
  EXPECT_EQ(head({2, 1, 16, 2, {}, {}, Bytes(12)}).size, (ImageSize{2, 1}));
  test::PngFile long_head = test::gray_png(3, 2, 1);
  long_head.padding = 100'000;  // what is asked for lies behind the first 64 KiB
  long_head.exif = test::tiff_with_orientation(6);
  EXPECT_EQ(head(long_head).orientation, 6);
}

TEST(DecodeImage, IgnoresBrokenExif) {
  const Bytes jpeg = encode_jpeg(gradient(24, 16, 3), 95);
  const Image stored = decode_image(jpeg, "plain");
  for (std::size_t at = 10; at < 36; ++at) {  // every byte of the TIFF block, with every high bit pattern that matters
    for (const std::uint8_t value : {0x00, 0x01, 0x7f, 0xff}) {
      Bytes file = with_orientation(jpeg, 1, at % 2 == 0);
      file[2 + at] = value;
      EXPECT_EQ(decode_image(file, "broken exif").pixels.size(), stored.pixels.size());
    }
  }
}

TEST(DecodeImage, EveryCutFileIsRefused) {
  const Bytes jpeg = encode_jpeg(gradient(33, 21, 3), 90), png = encode_png(gradient(33, 21, 3));
  for (const Bytes* whole : {&jpeg, &png}) {
    EXPECT_EQ(decode_image(*whole, "whole").width, 33);
    for (std::size_t size = 0; size < whole->size(); ++size) {
      const Bytes cut(whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_THROW(decode_image(cut, "cut"), Error) << size << " of " << whole->size() << " bytes";
    }
  }
}

TEST(DecodeImage, FlippedBitsNeverCrash) {
  const Bytes jpeg = encode_jpeg(gradient(33, 21, 3), 90), png = encode_png(gradient(33, 21, 3));
  for (const Bytes* whole : {&jpeg, &png}) {
    for (std::size_t bit = 0; bit < whole->size() * 8; bit += 3) {
      Bytes flipped = *whole;
      flipped[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      try {
        const Image image = decode_image(flipped, "flipped");
        EXPECT_EQ(image.pixels.size(), static_cast<std::size_t>(image.width) * image.height * image.channels);
      } catch (const Error&) {
      }
    }
  }
}

Bytes jpeg_of_size(int width, int height) {
  Bytes bytes = encode_jpeg(Image(16, 16, 3));
  for (std::size_t at = 2; at + 9 < bytes.size(); at += 2u + bytes[at + 2] * 256u + bytes[at + 3]) {
    if (bytes[at + 1] != 0xc0) continue;
    for (const auto& [offset, value] : {std::pair{5u, height >> 8}, {6u, height}, {7u, width >> 8}, {8u, width}}) {
      bytes[at + offset] = static_cast<std::uint8_t>(value);
    }
    return bytes;
  }
  return {};
}

TEST(Limits, AreCheckedBeforeAllocation) {
  struct Case {
    Bytes file;
    std::vector<std::string> parts;
  };
  const auto png_of_size = [](std::uint32_t width, std::uint32_t height) {
    PngFile png;
    png.width = width;
    png.height = height;
    return png.bytes();
  };
  Bytes scans = encode_jpeg(Image(16, 16, 3));
  for (int i = 0; i <= kMaxJpegScans; ++i) scans.insert(scans.end() - 2, {0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0});
  const std::vector<Case> cases{{png_of_size(10001, 10000), {"10001x10000", "100000000"}},
                                {png_of_size(65501, 1), {"65501x1", "65500"}},
                                {png_of_size(1, 0x80000000u), {"1x2147483648"}},
                                {png_of_size(0, 5), {"0x5"}},
                                {jpeg_of_size(10001, 10000), {"10001x10000", "100000000"}},
                                {jpeg_of_size(65501, 10), {"65500"}},
                                {scans, {"1002 scans", "1000"}}};
  for (const Case& c : cases) {
    std::string message;
    double seconds = 0;
    const std::int64_t kib = test::peak_kib([&] {
      const std::clock_t begin = std::clock();
      message = message_of([&] { decode_image(c.file, "big"); });
      seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    });
    expect_parts(message, c.parts);
    if (!test::sanitized) {
      EXPECT_LT(seconds, 0.1) << message;
      EXPECT_LT(kib, 16 * 1024) << message;
    }
  }
  // The other side of the limit, and a check that the measure sees an allocation of a picture's size.
  Image tall;
  EXPECT_GT(test::peak_kib([&] { tall = Image(1000, 20000, 1); }), test::sanitized ? -1 : 16 * 1024);
  EXPECT_EQ(decode_image(encode_png(Image(1, 65500, 1)), "tall").height, 65500);
}

TEST(Files, SayWhatIsWrongWithThem) {
  test::Folder folder;
  expect_parts(message_of([&] { read_file(folder / "none.jpg"); }), {"none.jpg", "No such file"});
  expect_parts(message_of([&] { read_file(folder.path()); }), {folder.path().string(), "a folder"});
  ASSERT_EQ(::mkfifo((folder / "pipe.jpg").c_str(), 0600), 0);
  expect_parts(message_of([&] { load_image(folder / "pipe.jpg"); }), {"pipe.jpg", "pipe"});
  expect_parts(message_of([&] { write_file(folder / "no" / "such.png", Bytes{1}); }), {"such.png", "No such file"});
  if (test::fs::exists("/dev/full")) {
    expect_parts(message_of([&] { write_file("/dev/full", Bytes{1}); }), {"/dev/full", "No space"});
  }
  ASSERT_EQ(::truncate((test::write_text(folder / "huge.jpg", "x"), folder / "huge.jpg").c_str(), kMaxFileBytes + 1),
            0);
  expect_parts(message_of([&] { load_image(folder / "huge.jpg"); }), {"huge.jpg", "1073741825 bytes"});
  write_file(folder / "bytes", Bytes{3, 1, 4});
  write_file(folder / "bytes", Bytes{1, 5});
  EXPECT_EQ(read_file(folder / "bytes"), (Bytes{1, 5}));
}

TEST(Encode, PngIsWithoutLoss) {
  for (const int channels : {1, 3}) {
    const Image image = gradient(37, 23, channels);
    const Image again = decode_image(encode_png(image), "again");
    EXPECT_EQ(again.channels, channels);
    EXPECT_EQ(again.pixels, image.pixels);
  }
}

TEST(Encode, FastPngIsWithoutLossToo) {
  for (const int channels : {1, 3}) {
    const Image image = gradient(37, 23, channels);
    EXPECT_EQ(decode_image(encode_png(image, {true, {}, "a program"}), "again").pixels, image.pixels);
  }
}

TEST(Encode, APaletteKeepsIndicesAndShowsColours) {
  Image image(5, 2, 1);
  for (std::size_t i = 0; i < 10; ++i) image.pixels[i] = static_cast<std::uint8_t>(i % 3);
  const PngOptions options{true, {{1, 2, 3}, {40, 50, 60}, {255, 0, 7}}, ""};
  const Bytes file = encode_png(image, options);
  EXPECT_EQ(decode_mask(file, "mask").pixels, image.pixels);
  const Image shown = decode_image(file, "mask");
  ASSERT_EQ(shown.channels, 3);
  for (std::size_t i = 0; i < 10; ++i) {
    for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(shown.pixels[3 * i + c], options.palette[i % 3][c]);
  }
  image.pixels[7] = 3;
  expect_parts(message_of([&] { encode_png(image, options); }), {"index 3", "3 entries"});
}

TEST(Encode, SixteenBitsAreKept) {
  constexpr int width = 50, height = 20;
  std::vector<std::uint16_t> values;
  for (int i = 0; i < width * height; ++i) values.push_back(static_cast<std::uint16_t>(i * 65535 / 999));
  const Bytes file = encode_png(width, height, values, {true, {}, ""});
  EXPECT_EQ(file[24], 16);
  EXPECT_EQ(file[25], 0) << "gray";
  Bytes packed;  // the contents of the IDAT chunks
  for (std::size_t at = 8; at < file.size();) {
    const std::size_t length = file[at + 2] * 256u + file[at + 3];
    if (file[at + 4] == 'I' && file[at + 5] == 'D') {
      packed.insert(packed.end(), file.begin() + static_cast<std::ptrdiff_t>(at + 8),
                    file.begin() + static_cast<std::ptrdiff_t>(at + 8 + length));
    }
    at += length + 12;
  }
  Bytes rows(height * (1 + 2 * width));
  uLongf size = rows.size();
  ASSERT_EQ(::uncompress(rows.data(), &size, packed.data(), packed.size()), Z_OK);
  for (int y = 0; y < height; ++y) {
    std::uint8_t* row = rows.data() + y * (1 + 2 * width);
    ASSERT_EQ(row[0], 1) << "the filter Sub";
    for (int i = 2; i < 2 * width; ++i) row[1 + i] = static_cast<std::uint8_t>(row[1 + i] + row[1 + i - 2]);
    for (int x = 0; x < width; ++x) ASSERT_EQ(row[1 + 2 * x] * 256 + row[2 + 2 * x], values[y * width + x]);
  }
  values.pop_back();
  expect_parts(message_of([&] { encode_png(width, height, values); }), {"16-bit PNG", "1998 bytes"});
}

TEST(Encode, AFullDiskLeavesTheOldFile) {
  const Folder folder;
  write_file(folder / "bytes", Bytes{3, 1, 4});
  const FileCalls real = file_calls();
  file_calls().write = [](int, const void*, std::size_t) -> ssize_t {
    errno = ENOSPC;
    return -1;
  };
  expect_parts(message_of([&] { write_file(folder / "bytes", Bytes{1, 5}); }), {"bytes", "No space left"});
  file_calls() = real;
  EXPECT_EQ(read_file(folder / "bytes"), (Bytes{3, 1, 4}));
  EXPECT_EQ(std::distance(test::fs::directory_iterator(folder.path()), test::fs::directory_iterator()), 1);
}

TEST(Encode, JpegIsClose) {
  for (const int channels : {1, 3}) {
    Image image(40, 24, channels);  // smooth, so that halved chroma loses little
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width * channels; ++x)
        image.row(y)[x] = static_cast<std::uint8_t>(60 + y + 2 * x / channels);
    }
    const Image again = decode_image(encode_jpeg(image, 95), "again");
    ASSERT_EQ(again.pixels.size(), image.pixels.size());
    for (std::size_t i = 0; i < image.pixels.size(); ++i) ASSERT_NEAR(again.pixels[i], image.pixels[i], 6);
  }
}

TEST(Encode, RefusesWhatDoesNotFit) {
  expect_parts(message_of([] { encode_png(Image(2, 2, 4)); }), {"4 channels"});
  expect_parts(message_of([] { encode_jpeg(Image()); }), {"0x0"});
  Image wrong(4, 4, 3);
  wrong.pixels.pop_back();
  expect_parts(message_of([&] { encode_png(wrong); }), {"47 bytes"});
}

}  // namespace
}  // namespace unet::image_test
