// A PNG row by row is the same file as one of the whole picture, there whole or not at all.
#include "engine/io/png_writer.h"

#include "engine/core/rng.h"
#include "tests/support/data_support.h"

namespace unet::png_writer_test {
namespace {

using test::expect_parts;
using test::message_of;

Image noise(int width, int height, int channels) {
  Image out(width, height, channels);
  for (std::size_t i = 0; i < out.pixels.size(); ++i) {
    out.pixels[i] = static_cast<std::uint8_t>(random_bits(1, Purpose::test, i) % 5);
  }
  return out;
}

std::span<const std::uint8_t> rows_of(const Image& image, int from, int count) {
  return {image.row(from), static_cast<std::size_t>(count) * image.width * image.channels};
}

TEST(PngWriter, MakesTheFileOfTheWholePicture) {
  const test::Folder folder;
  const std::vector<Rgb> palette{{0, 0, 0}, {9, 8, 7}, {1, 2, 3}, {4, 4, 4}, {5, 6, 5}};
  for (const int channels : {1, 3}) {
    for (const bool indices : {false, true}) {
      if (indices && channels == 3) continue;
      const Image image = noise(31, 50, channels);
      const PngOptions options{true, indices ? palette : std::vector<Rgb>{}, "unet.cpp"};
      PngWriter file(folder / "a.png", {31, 50}, channels, 8, options);
      for (const auto& [from, count] : {std::pair{0, 1}, {1, 0}, {1, 30}, {31, 19}})
        file.rows(rows_of(image, from, count));
      file.commit();
      EXPECT_EQ(read_file(folder / "a.png"), encode_png(image, options)) << channels << indices;
    }
  }
}

TEST(PngWriter, MakesTheFileOf16Bits) {
  const test::Folder folder;
  std::vector<std::uint16_t> values;
  for (int i = 0; i < 20 * 10; ++i) values.push_back(static_cast<std::uint16_t>(331 * i));
  PngWriter file(folder / "a.png", {20, 10}, 1, 16);
  file.rows(std::span<const std::uint16_t>(values).first(60));
  file.rows(std::span<const std::uint16_t>(values).subspan(60));
  file.commit();
  EXPECT_EQ(read_file(folder / "a.png"), encode_png(20, 10, values));
}

TEST(PngWriter, WithoutAllItsRowsThereIsNoneAndTheOldFileStays) {
  const test::Folder folder;
  const Image image = noise(8, 8, 1);
  test::write_text(folder / "a.png", "old");
  {
    PngWriter file(folder / "a.png", {8, 8}, 1, 8);
    file.rows(rows_of(image, 0, 7));
    expect_parts(message_of([&] { file.commit(); }), {"a.png", "8 bytes of its rows are missing"});
    expect_parts(message_of([&] { file.rows(rows_of(image, 0, 2)); }), {"a.png", "16 bytes of rows of 8"});
    expect_parts(message_of([&] { file.rows(rows_of(image, 0, 1).first(5)); }), {"expected whole rows"});
  }
  EXPECT_EQ(read_file(folder / "a.png").size(), 3u);
  EXPECT_EQ(std::distance(test::fs::directory_iterator(folder.path()), test::fs::directory_iterator()), 1);
  message_of([&] { PngWriter(folder / "b.png", {8, 8}, 2, 8); });
  message_of([&] { PngWriter(folder / "b.png", {8, 8}, 3, 16); });
  message_of([&] { PngWriter(folder / "b.png", {0, 8}, 1, 8); });
  EXPECT_FALSE(test::fs::exists(folder / "b.png"));
}

}  // namespace
}  // namespace unet::png_writer_test
