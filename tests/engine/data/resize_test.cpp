// Resizing against values recorded from Pillow by make_resize_reference.py.
#include "engine/data/resize.h"

#include "tests/support/data_support.h"
#include "tests/support/places.h"

namespace unet::resize_test {
namespace {

Image pattern(int width, int height, int channels) {
  Image image(width, height, channels);
  std::uint32_t state = 12345;
  for (std::uint8_t& pixel : image.pixels) {
    state = state * 1664525u + 1013904223u;
    pixel = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}

TEST(Resize, EqualsPillow) {
  const auto table = test::read_table(places::source("tests/engine/data/resize_reference.tsv"));
  ASSERT_EQ(table.size(), 60u);
  for (const auto& row : table) {
    ASSERT_EQ(row.size(), 7u);
    const Image source = pattern(std::stoi(row[2]), std::stoi(row[3]), std::stoi(row[1]));
    const int width = std::stoi(row[4]), height = std::stoi(row[5]);
    const Image result =
        row[0] == "bilinear" ? resize_bilinear(source, width, height) : resize_nearest(source, width, height);
    std::string hex;
    for (const std::uint8_t pixel : result.pixels) hex += fmt::format("{:02x}", pixel);
    EXPECT_EQ(hex, row[6]) << row[0] << " " << row[1] << " channels " << row[2] << "x" << row[3] << " to " << row[4]
                           << "x" << row[5];
    EXPECT_EQ(result.width, width);
    EXPECT_EQ(result.height, height);
  }
}

TEST(Resize, DoesNotTouchWhatFits) {
  Image image = pattern(20, 10, 3);
  const std::uint8_t* pixels = image.pixels.data();
  image = resize_bilinear(std::move(image), 20, 10);
  EXPECT_EQ(image.pixels.data(), pixels);
  image = resize_nearest(std::move(image), 20, 10);
  EXPECT_EQ(image.pixels, pattern(20, 10, 3).pixels);
}

TEST(Resize, KeepsAConstant) {
  Image image(97, 61, 3);
  image.pixels.assign(image.pixels.size(), 201);
  for (const std::uint8_t pixel : resize_bilinear(image, 33, 64).pixels) ASSERT_EQ(pixel, 201);
}

TEST(Resize, RefusesAnEmptyTarget) {
  test::expect_parts(test::message_of([] { resize_bilinear(Image(4, 4, 1), 0, 4); }), {"0x4", "at least 1"});
  test::expect_parts(test::message_of([] { resize_nearest(Image(4, 4, 1), 4, -1); }), {"4x-1"});
}

}  // namespace
}  // namespace unet::resize_test
