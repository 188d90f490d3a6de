// Crops: windows at the picture's own scale, anywhere in it, a pure function of (seed, epoch, sample); reflection where
// the picture ends.
#include "engine/data/crop.h"

#include <algorithm>
#include <set>

#include "tests/engine/data/sample_data.h"

namespace unet::crop_test {
namespace {

/// Every pixel tells its place; labels are 1 right of a diagonal.
LabelledImage picture(int width, int height) {
  LabelledImage out{Image(width, height, 3), Image(width, height, 1)};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::uint8_t* pixel = out.image.row(y) + 3 * x;
      pixel[0] = static_cast<std::uint8_t>(x);
      pixel[1] = static_cast<std::uint8_t>(y);
      pixel[2] = static_cast<std::uint8_t>(x + y > 60 ? 200 : 20);
      out.labels.row(y)[x] = x + y > 60;
    }
  }
  return out;
}

struct Crop {
  Crop(const LabelledImage& from, Augment kind, std::uint64_t seed, std::int64_t epoch, std::int64_t sample, int height,
       int width)
      : image(width, height, 3), labels(width, height, 1) {
    augment_crop(from, kind, seed, epoch, sample, height, width, image.pixels.data(), labels.pixels.data());
  }
  Image image, labels;
};

TEST(Crop, NoneIsAWindowOfThePictureItself) {
  const LabelledImage whole = picture(90, 70);
  const LabelledImage prepared = prepare_for_crops(whole, 16, 24);
  EXPECT_EQ(prepared.image.pixels, whole.image.pixels);
  std::set<int> lefts, tops;
  std::set<std::pair<int, int>> places;
  for (int sample = 0; sample < 2000; ++sample) {
    const Crop crop(prepared, Augment::none, 3, 1, sample, 16, 24);
    const int left = crop.image.pixels[0], top = crop.image.pixels[1];
    const Window window{top, left, 16, 24};
    ASSERT_EQ(crop.image.pixels, cut(whole.image, window).pixels);
    ASSERT_EQ(crop.labels.pixels, cut(whole.labels, window).pixels);
    lefts.insert(left);
    tops.insert(top);
    places.emplace(left, top);
  }
  EXPECT_EQ(lefts.size(), 90u - 24 + 1) << "every place";
  EXPECT_EQ(tops.size(), 70u - 16 + 1);
  EXPECT_GT(places.size(), 1000u) << "of 3685: left and top are drawn each for itself";
  EXPECT_EQ(*lefts.rbegin(), 90 - 24);
  EXPECT_EQ(*tops.rbegin(), 70 - 16);
}

TEST(Crop, FlipMirrorsHalfOfThem) {
  const LabelledImage whole = picture(90, 70);
  int flips = 0;
  for (int sample = 0; sample < 200; ++sample) {
    const Crop crop(whole, Augment::flip, 3, 1, sample, 16, 24);
    const bool flipped = crop.image.pixels[0] > crop.image.pixels[3];
    flips += flipped;
    const int left = flipped ? crop.image.pixels[3 * 23] : crop.image.pixels[0];
    const Image window = cut(whole.image, {crop.image.pixels[1], left, 16, 24});
    for (int y = 0; y < 16; ++y) {
      for (int x = 0; x < 24; ++x) {
        ASSERT_EQ(crop.image.row(y)[3 * x], window.row(y)[3 * (flipped ? 23 - x : x)]);
      }
    }
  }
  EXPECT_NEAR(flips, 100, 30);
}

TEST(Crop, IsAPureFunctionOfSeedEpochAndSample) {
  const LabelledImage whole = picture(90, 70);
  for (const Augment kind : {Augment::none, Augment::standard}) {
    const Crop first(whole, kind, 1, 2, 3, 32, 32);
    for (const auto& [seed, epoch, sample] : {std::array{2, 2, 3}, {1, 3, 3}, {1, 2, 4}, {3, 2, 1}}) {
      EXPECT_NE(Crop(whole, kind, static_cast<std::uint64_t>(seed), epoch, sample, 32, 32).image.pixels,
                first.image.pixels);
    }
    EXPECT_EQ(Crop(whole, kind, 1, 2, 3, 32, 32).image.pixels, first.image.pixels);
  }
}

/// The two levels of the third channel stay apart under any change of colour.
TEST(Crop, LabelsFollowTheImageUnderEveryChange) {
  const LabelledImage whole = picture(90, 70);
  int both = 0;
  for (int sample = 0; sample < 100; ++sample) {
    const Crop crop(whole, Augment::standard, 5, 0, sample, 32, 32);
    std::array<double, 2> sums{};
    std::array<int, 2> counts{};
    for (std::size_t i = 0; i < crop.labels.pixels.size(); ++i) {
      ASSERT_LE(crop.labels.pixels[i], 1);
      sums[crop.labels.pixels[i]] += crop.image.pixels[3 * i + 2];
      ++counts[crop.labels.pixels[i]];
    }
    if (counts[0] < 100 || counts[1] < 100) continue;
    ++both;
    EXPECT_GT(sums[1] / counts[1], sums[0] / counts[0] + 50) << sample;
  }
  EXPECT_GT(both, 10);
}

/// standard sees 70 to 100 % of its window: a little of either side of the picture's own scale.
TEST(Crop, WindowsOfStandardLieAboutThePicturesScale) {
  const auto window = [](int width, int height, Augment kind) {
    return draw_window(picture(width, height), kind, 1, 1, 1, 24, 48);
  };
  const auto sides = [](const Window& w) { return std::pair(w.height, w.width); };
  EXPECT_EQ(sides(window(90, 70, Augment::flip)), (std::pair(24, 48)));
  EXPECT_EQ(sides(window(90, 70, Augment::standard)), (std::pair(26, 52)));
  EXPECT_EQ(sides(window(90, 25, Augment::standard)), (std::pair(25, 50))) << "the proportion is kept";
  EXPECT_EQ(sides(window(48, 70, Augment::standard)), (std::pair(24, 48)));
}

TEST(Crop, ASmallerPictureIsReflectedAndItsPaddingIgnored) {
  const LabelledImage small = picture(5, 7);
  const LabelledImage padded = prepare_for_crops(small, 20, 18);
  ASSERT_EQ(std::pair(padded.image.width, padded.image.height), std::pair(18, 20));
  const auto place = [](int at, int length) {  // walks to and fro
    int step = 1, here = 0;
    for (int i = 0; i < at; ++i) {
      if (here + step < 0 || here + step >= length) {
        step = -step;  // the edge lies outside the outer pixels: they come twice
      } else {
        here += step;
      }
    }
    return here;
  };
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 18; ++x) {
      const std::uint8_t* pixel = padded.image.row(y) + 3 * x;
      ASSERT_EQ(std::pair(int{pixel[0]}, int{pixel[1]}), std::pair(place(x, 5), place(y, 7))) << x << " " << y;
      ASSERT_EQ(padded.labels.row(y)[x], x < 5 && y < 7 ? small.labels.row(y)[x] : kIgnoredLabel);
    }
  }
  const LabelledImage wide = prepare_for_crops(picture(40, 7), 20, 18);
  EXPECT_EQ(std::pair(wide.image.width, wide.image.height), std::pair(40, 20)) << "only the side that is too small";
  const Crop crop(padded, Augment::standard, 1, 1, 1, 20, 18);
  EXPECT_TRUE(std::any_of(crop.labels.pixels.begin(), crop.labels.pixels.end(), [](int v) { return v != 255; }));
}

}  // namespace
}  // namespace unet::crop_test
