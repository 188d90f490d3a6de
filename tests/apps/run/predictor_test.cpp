// Views of an image (--tta): the mean of their probabilities, against the same computed here in f64.
#include "apps/run/predictor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "engine/data/resize.h"
#include "engine/ops/conv_plans.h"
#include "models/unet.h"

namespace unet::predictor_test {
namespace {

using Map = std::vector<double>;  // [height,width,classes]

constexpr int kClasses = 3;

Image noise(int width, int height) {
  Image out(width, height, 3);
  for (std::size_t i = 0; i < out.pixels.size(); ++i) {
    out.pixels[i] = static_cast<std::uint8_t>(random_bits(3, Purpose::test, i) % 256);
  }
  return out;
}

Image mirror_image(const Image& image) {
  Image out = image;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) std::copy_n(image.row(y) + 3 * (image.width - 1 - x), 3, out.row(y) + 3 * x);
  }
  return out;
}

double& at(Map& map, int width, int y, int x, int c) {
  return map[(static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)) * kClasses +
             static_cast<std::size_t>(c)];
}

Map probabilities(models::Segmenter& network, const Image& image) {
  Tape tape(Tape::Mode::inference);
  const Tensor pixels = Tensor::copy_of({1, image.height, image.width, 3}, Dtype::u8, image.pixels.data());
  Map out = models::logits(network, tape, pixels).value.values<double>();
  for (std::size_t i = 0; i < out.size(); i += kClasses) {
    double sum = 0;
    for (std::size_t c = 0; c < kClasses; ++c) sum += out[i + c] = std::exp(out[i + c]);
    for (std::size_t c = 0; c < kClasses; ++c) out[i + c] /= sum;
  }
  return out;
}

/// Bilinear, pixel centres at halves, the border repeated: torch's interpolate(align_corners=False).
Map at_size(Map map, int height, int width, int to_height, int to_width) {
  Map out(static_cast<std::size_t>(to_height) * static_cast<std::size_t>(to_width) * kClasses);
  for (int y = 0; y < to_height; ++y) {
    const double v = std::clamp((y + 0.5) * height / to_height - 0.5, 0.0, height - 1.0);
    const int top = static_cast<int>(v), bottom = std::min(top + 1, height - 1);
    for (int x = 0; x < to_width; ++x) {
      const double u = std::clamp((x + 0.5) * width / to_width - 0.5, 0.0, width - 1.0);
      const int left = static_cast<int>(u), right = std::min(left + 1, width - 1);
      for (int c = 0; c < kClasses; ++c) {
        at(out, to_width, y, x, c) =
            (1 - (v - top)) *
                ((1 - (u - left)) * at(map, width, top, left, c) + (u - left) * at(map, width, top, right, c)) +
            (v - top) *
                ((1 - (u - left)) * at(map, width, bottom, left, c) + (u - left) * at(map, width, bottom, right, c));
      }
    }
  }
  return out;
}

/// What the views of one size say, mirrored back and brought to the image's size.
void add_views(models::Segmenter& network, const Image& image, int height, int width, Map& sum) {
  const Image view = resize_bilinear(image, width, height);
  for (const bool mirrored : {false, true}) {
    Map p = probabilities(network, mirrored ? mirror_image(view) : view);
    if (mirrored) {
      Map back = p;
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          for (int c = 0; c < kClasses; ++c) at(back, width, y, x, c) = at(p, width, y, width - 1 - x, c);
        }
      }
      p = back;
    }
    p = at_size(p, height, width, image.height, image.width);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += p[i];
  }
}

double worst_difference(const std::vector<float>& found, const Map& sum, double views) {
  EXPECT_EQ(found.size(), sum.size());
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, std::abs(found[i] - sum[i] / views));
  return worst;
}

class PredictorTest : public testing::Test {
 protected:
  models::UNet network_{{.classes = kClasses, .base_channels = 2}, 7};
};

TEST_F(PredictorTest, FlipIsTheMeanOfAnImageAndItsMirrorImage) {
  const Image image = noise(53, 40);
  Map sum(53 * 40 * kClasses);
  add_views(network_, image, 40, 53, sum);
  Predictor flip(network_, Tta::flip), none(network_, Tta::none);
  const std::vector<float> found = flip(image, "image");
  EXPECT_LT(worst_difference(found, sum, 2), 1e-6);
  EXPECT_GT(worst_difference(none(image, "image"), sum, 2), 1e-3) << "another answer than without";
  const std::vector<float> turned = flip(mirror_image(image), "image");
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 53; ++x) {
      const auto here = static_cast<std::size_t>(3 * (y * 53 + x)),
                 there = static_cast<std::size_t>(3 * (y * 53 + 52 - x));
      ASSERT_NEAR(turned[here], found[there], 1e-6) << "the mirror image has the mirrored answer";
    }
  }
}

TEST_F(PredictorTest, FlipAndScaleIsTheMeanOfSixViews) {
  for (const auto& [width, height, smaller, larger] :
       {std::tuple{64, 100, std::pair{48, 75}, std::pair{80, 125}}, {53, 40, {40, 30}, {66, 50}}}) {
    const Image image = noise(width, height);
    const auto rounded = [](int side) { return (side + 16) / 32 * 32; };
    Map sum(static_cast<std::size_t>(width * height * kClasses));
    add_views(network_, image, rounded(smaller.second), rounded(smaller.first), sum);
    add_views(network_, image, height, width, sum);
    add_views(network_, image, rounded(larger.second), rounded(larger.first), sum);
    Predictor six(network_, Tta::flip_scale), two(network_, Tta::flip);
    EXPECT_LT(worst_difference(six(image, "image"), sum, 6), 1e-6);
    EXPECT_GT(worst_difference(two(image, "image"), sum, 6), 1e-3);
  }
}

/// The first pass is the one that is looked at, not a second one.
TEST_F(PredictorTest, ACheckedPassIsMadeOnce) {
  const auto runs = [&](LogitsCheck* check) {
    set_conv_provider(kernels::ConvProvider::automatic);  // forgets what ran before
    Predictor(network_, Tta::none, check)(noise(40, 32), "image");
    std::uint64_t all = 0;
    for (const PlanUse& use : conv_plan_uses()) all += use.runs;
    return all;
  };
  FiniteCheck check(network_, "file");
  EXPECT_GT(runs(nullptr), 0u);
  EXPECT_EQ(runs(&check), runs(nullptr));
}

TEST_F(PredictorTest, TheSmallestViewIsOfThirtyTwoPixels) {
  struct Seeing : LogitsCheck {
    std::vector<std::string> seen;
    void watch(Tape&) override {}
    void operator()(const Tensor& images, std::span<const float>, const std::string& of) override {
      seen.push_back(of + " " + images.shape().str());
    }
  } check;
  const std::vector<std::string>& seen = check.seen;
  Predictor predictor(network_, Tta::flip_scale, &check);
  predictor(noise(16, 20), "small.png");
  ASSERT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen[0], "small.png [1,32,32,3]");
  EXPECT_EQ(seen[2], "small.png [1,20,16,3]");
  EXPECT_EQ(seen[5], "small.png [1,32,32,3]");
}

}  // namespace
}  // namespace unet::predictor_test
