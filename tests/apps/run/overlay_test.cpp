// Pictures for a person's eye: outlines that are seen on any ground, colours that differ, text that can be read.
#include "apps/run/overlay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "apps/run/glyphs.h"
#include "engine/data/class_map.h"

namespace unet::overlay_test {
namespace {

const std::vector<std::string> kNames{"0", "cat", "2"};

Image flat(int width, int height, Rgb colour) {
  Image out(width, height, 3);
  fill_box(out, {0, 0, width, height}, colour);
  return out;
}

/// A square of one class in the middle.
Image square(int side, std::uint8_t label) {
  Image out(side, side, 1);
  for (int y = side / 4; y < side - side / 4; ++y)
    std::fill(out.row(y) + side / 4, out.row(y) + side - side / 4, label);
  return out;
}

Rgb at(const Image& image, int x, int y) {
  const std::uint8_t* pixel = image.row(y) + 3 * x;
  return {pixel[0], pixel[1], pixel[2]};
}

int light(Rgb c) { return (299 * c[0] + 587 * c[1] + 114 * c[2]) / 1000; }

TEST(Overlay, AnOutlineIsSeenOnAnyGround) {
  for (const int label : {1, 2, 5, 7, 40, 254}) {
    const Image labels = square(16, static_cast<std::uint8_t>(label));
    for (const Rgb ground :
         {Rgb{0, 0, 0}, Rgb{255, 255, 255}, Rgb{128, 128, 128}, Rgb{200, 120, 50}, class_colour(label)}) {
      const Image picture = tint(flat(16, 16, ground), labels.pixels.data(), Background::class0);
      const int outside = light(at(picture, 3, 8)), inside = light(at(picture, 4, 8));
      EXPECT_GT(inside - outside, 100) << "a dark line beside a light one, class " << label;
      EXPECT_GT(std::max(std::abs(outside - light(ground)), std::abs(inside - light(ground))), 60)
          << "class " << label << " on " << light(ground);
      EXPECT_EQ(at(picture, 0, 0), ground) << "background stays as it is";
    }
  }
}

TEST(Overlay, ThinLinesKeepTheirColour) {
  Image labels(16, 16, 1);
  std::fill_n(labels.row(8), 16, std::uint8_t{3});
  const Image picture = tint(flat(16, 16, {100, 100, 100}), labels.pixels.data(), Background::class0);
  EXPECT_GT(light(at(picture, 5, 8)), 180);
  EXPECT_EQ(at(picture, 5, 7), (Rgb{0, 0, 0}));
}

TEST(Overlay, EveryClassHasAColourOfItsOwn) {
  const std::vector<Rgb> colours = class_palette(255);
  EXPECT_EQ(std::set<Rgb>(colours.begin(), colours.end()).size(), 255u);
  EXPECT_EQ(colours[0], (Rgb{0, 0, 0}));
}

TEST(Overlay, WithoutABackgroundClass0IsTintedToo) {
  const Image labels(16, 16, 1), photo = flat(16, 16, {200, 200, 200});
  EXPECT_EQ(tint(photo, labels.pixels.data(), Background::class0).pixels, photo.pixels);
  EXPECT_LT(light(at(tint(photo, labels.pixels.data(), Background::none), 8, 8)), 150);
}

TEST(Overlay, TheComparisonTellsHitsMissesAndFalseAlarms) {
  constexpr int side = 256, left = 3 * (side + 4), top = 26;  // of the fourth panel
  const Image photo = flat(side, side, {90, 90, 90});
  const Image nothing(side, side, 1), one = square(side, 1), two = square(side, 2);
  const auto middle = [&](const Image& truth, const Image& prediction, Background background) {
    const Image sheet = judgement(photo, truth.pixels.data(), prediction.pixels.data(), background, kNames);
    EXPECT_GE(sheet.width, 4 * side);
    return at(sheet, left + side / 2, top + side / 2);
  };
  const Rgb hit = middle(one, one, Background::class0), miss = middle(one, nothing, Background::class0),
            alarm = middle(nothing, one, Background::class0), wrong = middle(one, two, Background::class0),
            quiet = middle(nothing, nothing, Background::class0);
  EXPECT_EQ((std::set<Rgb>{hit, miss, alarm, wrong, quiet}).size(), 5u);
  EXPECT_EQ(quiet, (Rgb{90, 90, 90}));
  EXPECT_GT(hit[1], hit[0]);                          // green
  EXPECT_GT(miss[0], miss[1]);                        // red
  EXPECT_GT(std::min(alarm[0], alarm[1]), alarm[2]);  // yellow
  EXPECT_EQ(middle(nothing, nothing, Background::none), hit);
  EXPECT_EQ(middle(one, nothing, Background::none), wrong);
}

TEST(Overlay, SheetsOfAnySizeHaveALegend) {
  for (const auto& [width, height] : {std::pair{1, 1}, {64, 64}, {16, 700}, {3000, 40}, {300, 200}}) {
    const Image photo = flat(width, height, {10, 20, 30});
    const Image labels(width, height, 1);
    const Image sheet = judgement(photo, labels.pixels.data(), labels.pixels.data(), Background::class0, kNames);
    EXPECT_GE(sheet.height, height + 2 * kTextRows);
    EXPECT_GE(sheet.width, 4 * width);
    EXPECT_TRUE(std::any_of(sheet.pixels.end() - 20 * 3 * sheet.width, sheet.pixels.end(),
                            [](std::uint8_t value) { return value < 100; }))
        << width << "x" << height << ": no ink below";
  }
  EXPECT_GT(legend_of(class_names({}, 254), Background::class0).height, legend_of(kNames, Background::class0).height);
}

TEST(Glyphs, LettersDigitsAndSignsDiffer) {
  std::set<std::string> seen;
  const std::string all = "abcdefghijklmnopqrstuvwxyz0123456789-.,/_() \x01";
  for (const char character : all) {
    Image image = flat(5, kTextRows, {255, 255, 255});
    draw_text(image, 0, 0, std::string(1, character), 1, {0, 0, 0});
    seen.emplace(image.pixels.begin(), image.pixels.end());
  }
  EXPECT_EQ(seen.size(), all.size());
}

TEST(Glyphs, TextIsScaledAndCutAtTheEdge) {
  EXPECT_EQ(text_width("", 2), 0);
  EXPECT_EQ(text_width("ab", 2), 22);
  Image small = flat(11, kTextRows, {255, 255, 255}), large = flat(22, 2 * kTextRows, {255, 255, 255});
  draw_text(small, 0, 0, "aB", 1, {0, 0, 0});
  draw_text(large, 0, 0, "Ab", 2, {0, 0, 0});
  for (int y = 0; y < small.height; ++y) {
    for (int x = 0; x < small.width; ++x) EXPECT_EQ(at(small, x, y), at(large, 2 * x + 1, 2 * y + 1));
  }
  draw_text(small, -8, -3, "abc", 3, {0, 0, 0});
  draw_text(small, 9, 5, "abc", 3, {0, 0, 0});
}

TEST(Overlay, InPartsItIsTheSame) {
  const Image photo = flat(640, 700, {90, 120, 60});  // lines of 3 pixels
  Image labels = square(700, 2);
  labels.width = 640;
  labels.pixels.resize(640 * 700);
  std::fill_n(labels.row(333), 320, std::uint8_t{255});
  const Image whole = tint(photo, labels.pixels.data(), Background::class0);
  for (const int count : {1, 37, 256}) {
    std::vector<std::uint8_t> parts;
    for (int y = 0; y < photo.height; y += count) {
      const Image part =
          tint_rows(photo, labels.pixels.data(), Background::class0, y, std::min(count, photo.height - y));
      parts.insert(parts.end(), part.pixels.begin(), part.pixels.end());
    }
    EXPECT_TRUE(parts == whole.pixels) << count;
  }
}

}  // namespace
}  // namespace unet::overlay_test
