// Tiles: they cover the picture, their seams are not there for a network that sees a pixel alone, and for others the
// probabilities are the weighted mean that tiles.h says.
#include "apps/run/tiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "apps/run/full_size.h"
#include "engine/core/rng.h"
#include "engine/data/crop.h"
#include "engine/nn/layers.h"
#include "models/unet.h"

namespace unet::tiles_test {
namespace {

/// A network that sees each pixel by itself.
class Point : public models::Segmenter {
 public:
  explicit Point(std::int64_t classes)
      : Segmenter({.classes = classes, .model = "point"}, {}), head_(parameters(), "head", 3, classes) {
    parameters().initialize(1);
  }
  Var forward(Tape& tape, const Var& images) override { return head_.forward(tape, images); }
  models::Work work(std::int64_t, std::int64_t) const override { return {}; }
  std::int64_t deepest_pixels(std::int64_t height, std::int64_t width) const override { return height * width; }

 private:
  nn::PixelLinear head_;
};

Image noise(int width, int height) {
  Image out(width, height, 3);
  for (std::size_t i = 0; i < out.pixels.size(); ++i) {
    out.pixels[i] = static_cast<std::uint8_t>(random_bits(2, Purpose::test, i) % 256);
  }
  return out;
}

/// The whole map; fails unless rows come from the top, each once.
std::vector<float> by_tiles(Predictor& predictor, const Image& photo, const ImageExtent& tile) {
  std::vector<float> out;
  int next = 0;
  EXPECT_TRUE(predict_tiles(predictor, photo, tile, "photo", [&](int y, int count, const float* p) {
    EXPECT_EQ(y, next);
    EXPECT_GT(count, 0);
    next += count;
    out.insert(out.end(), p, p + std::int64_t{count} * photo.width * predictor.classes());
  }));
  EXPECT_EQ(next, photo.height);
  return out;
}

TEST(Tiles, AreSpreadEvenlyAndOverlapByAQuarterAtLeast) {
  for (const int tile : {16, 17, 64, 100}) {
    for (int length = tile; length < 5 * tile; ++length) {
      const std::vector<int> begins = tile_positions(length, tile);
      ASSERT_EQ(begins.front(), 0);
      ASSERT_EQ(begins.back(), length - tile);
      ASSERT_EQ(begins.size() == 1, length == tile);
      int least = length, most = 0;
      for (std::size_t i = 1; i < begins.size(); ++i) {
        least = std::min(least, begins[i] - begins[i - 1]);
        most = std::max(most, begins[i] - begins[i - 1]);
      }
      if (begins.size() == 1) continue;
      ASSERT_LE(most, tile - tile / 4) << length << " by " << tile;
      ASSERT_LE(most - least, 1);
      ASSERT_GT((tile - tile / 4) * static_cast<int>(begins.size() - 1), length - tile - (tile - tile / 4))
          << "no more than it takes";
    }
  }
}

TEST(Tiles, WeightsFallOffTowardsTheEdges) {
  EXPECT_EQ(tile_weights(6), (std::vector<float>{1, 2, 3, 3, 2, 1}));
  EXPECT_EQ(tile_weights(5), (std::vector<float>{1, 2, 3, 2, 1}));
}

TEST(Tiles, OfANetworkThatSeesPixelsAloneHaveNoSeams) {
  for (const std::int64_t classes : {2, 5}) {
    Point network(classes);
    Predictor predictor(network, Tta::none);
    for (const auto& [width, height] :
         {std::pair{32, 16}, {33, 17}, {40, 90}, {200, 150}, {31, 15}, {7, 100}, {90, 5}}) {
      const Image photo = noise(width, height);
      const std::vector<float> whole = predictor(photo, "photo");
      EXPECT_EQ(by_tiles(predictor, photo, {16, 32}), whole) << width << "x" << height << ": to the last bit";
    }
  }
}

TEST(Tiles, AreTheWeightedMeanOfWhatEachSays) {
  models::UNet network({.classes = 3, .base_channels = 2}, 4);
  Predictor predictor(network, Tta::none);
  for (const auto& [width, height] : {std::pair{75, 61}, {48, 100}, {20, 40}}) {
    const Image photo = noise(width, height);
    const int tile_h = 32, tile_w = 48;
    const Image padded = pad_reflected(photo, tile_h, tile_w);
    std::vector<double> sums(static_cast<std::size_t>(padded.width) * padded.height * 3), weights(sums.size() / 3);
    for (const int top : tile_positions(padded.height, tile_h)) {
      for (const int left : tile_positions(padded.width, tile_w)) {
        const std::vector<float> p = predictor(cut(padded, {top, left, tile_h, tile_w}), "tile");
        for (int y = 0; y < tile_h; ++y) {
          for (int x = 0; x < tile_w; ++x) {
            const double w = (1 + std::min(y, tile_h - 1 - y)) * (1 + std::min(x, tile_w - 1 - x));
            const auto at = static_cast<std::size_t>(top + y) * static_cast<std::size_t>(padded.width) +
                            static_cast<std::size_t>(left + x);
            weights[at] += w;
            for (std::size_t c = 0; c < 3; ++c)
              sums[3 * at + c] += w * p[static_cast<std::size_t>(y * tile_w + x) * 3 + c];
          }
        }
      }
    }
    const std::vector<float> found = by_tiles(predictor, photo, {tile_h, tile_w});
    ASSERT_EQ(found.size(), static_cast<std::size_t>(width) * height * 3);
    double worst = 0, seam = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const std::size_t x = i / 3 % static_cast<std::size_t>(width), y = i / 3 / static_cast<std::size_t>(width);
      const std::size_t at = y * static_cast<std::size_t>(padded.width) + x;
      worst = std::max(worst, std::abs(found[i] - sums[3 * at + i % 3] / weights[at]));
      seam = std::max(seam, std::abs(found[i] - 1.0 / 3));
    }
    EXPECT_LT(worst, 1e-6);
    EXPECT_GT(seam, 1e-3) << "a network that says nothing shows nothing";
  }
}

TEST(Tiles, StopWhereTheyAreAskedTo) {
  Point network(2);
  Predictor predictor(network, Tta::none);
  int asked = 0, rows = 0;
  EXPECT_FALSE(predict_tiles(
      predictor, noise(64, 64), {16, 32}, "photo", [&](int, int count, const float*) { rows += count; },
      [&] { return ++asked > 7; }));
  EXPECT_EQ(asked, 8);
  EXPECT_LT(rows, 64);
}

}  // namespace
}  // namespace unet::tiles_test
