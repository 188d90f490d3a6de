// Blur, noise and patches, against their definitions in f64.
#include "engine/data/distort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "engine/data/dataset.h"

namespace unet::distort_test {
namespace {

std::vector<Color> random_colors(int height, int width) {
  std::vector<Color> out(static_cast<std::size_t>(height) * width);
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (int c = 0; c < 3; ++c) {
      out[i][c] = static_cast<float>(255 * random_uniform(1, Purpose::test, i, static_cast<std::uint64_t>(c)));
    }
  }
  return out;
}

/// The sum over all pixels within three sigma, each edge's pixels repeated outside, weighted by the Gaussian.
double blurred(const std::vector<Color>& colors, int height, int width, double sigma, int y, int x, int channel) {
  const int reach = static_cast<int>(std::ceil(3 * sigma));
  double sum = 0, weights = 0;
  for (int dy = -reach; dy <= reach; ++dy) {
    for (int dx = -reach; dx <= reach; ++dx) {
      const double weight = std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma));
      const int from = std::clamp(y + dy, 0, height - 1) * width + std::clamp(x + dx, 0, width - 1);
      sum += weight * colors[static_cast<std::size_t>(from)][channel];
      weights += weight;
    }
  }
  return sum / weights;
}

TEST(Distort, BlurIsTheGaussianMean) {
  for (const auto& [height, width, sigma] : {std::tuple{17, 23, 1.5}, {9, 2, 0.5}, {1, 1, 1.0}, {1, 12, 1.2}}) {
    const std::vector<Color> before = random_colors(height, width);
    std::vector<Color> after = before;
    blur(after, height, width, sigma);
    for (int i = 0; i < height * width; ++i) {
      for (int c = 0; c < 3; ++c) {
        const double expected = blurred(before, height, width, sigma, i / width, i % width, c);
        ASSERT_NEAR(after[static_cast<std::size_t>(i)][c], expected, 2e-4) << height << "x" << width << " at " << i;
      }
    }
  }
}

TEST(Distort, NoiseHasItsMeanAndDeviationAndNoPattern) {
  constexpr int kSide = 128;
  std::vector<Color> colors(kSide * kSide);
  add_noise(colors, 10, 77);
  double sum = 0, squares = 0, channels = 0, neighbours = 0, beyond = 0;
  for (std::size_t i = 0; i < colors.size(); ++i) {
    const Color value = colors[i];
    for (int c = 0; c < 3; ++c) {
      sum += value[c];
      squares += value[c] * value[c];
      beyond += std::abs(value[c]) > 20;
    }
    channels += value[0] * value[1] + value[1] * value[2];
    neighbours += value[0] * colors[(i + 1) % colors.size()][0];
  }
  const double count = 3.0 * kSide * kSide;
  EXPECT_NEAR(sum / count, 0, 5 * 10 / std::sqrt(count));
  EXPECT_NEAR(squares / count, 100, 5 * 100 * std::sqrt(2 / count));
  EXPECT_NEAR(channels / count, 0, 5 * 100 / std::sqrt(count));
  EXPECT_NEAR(neighbours / count, 0, 5 * 100 / std::sqrt(count));
  EXPECT_NEAR(beyond / count, 0.0455, 0.01);  // of a normal one; Irwin-Hall of four has 0.043

  std::vector<Color> again(kSide * kSide), other(kSide * kSide);
  add_noise(again, 10, 77);
  add_noise(other, 10, 78);
  EXPECT_EQ(again[5][1], colors[5][1]);
  EXPECT_NE(other[5][1], colors[5][1]);
}

TEST(Distort, APatchIsGrayAndIgnored) {
  constexpr int kWidth = 7, kHeight = 5;
  std::vector<std::uint8_t> image(kWidth * kHeight * 3, 9), labels(kWidth * kHeight, 1);
  cut_out({.left = 5, .top = 3, .width = 2, .height = 2}, kWidth, image.data(), labels.data());
  for (int i = 0; i < kWidth * kHeight; ++i) {
    const bool inside = i % kWidth >= 5 && i / kWidth >= 3;
    EXPECT_EQ(labels[static_cast<std::size_t>(i)], inside ? kIgnoredLabel : 1);
    for (int c = 0; c < 3; ++c) EXPECT_EQ(image[static_cast<std::size_t>(3 * i + c)], inside ? 128 : 9);
  }
}

}  // namespace
}  // namespace unet::distort_test
