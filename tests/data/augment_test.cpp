// Augmentation: pure, aligned with its labels, and random in the ways it says.
#include "engine/data/augment.h"

#include <algorithm>
#include <numbers>
#include <set>

#include "tests/data/sample_data.h"

namespace unet {
namespace {

constexpr int size = 64;

struct Result {
  std::vector<std::uint8_t> image = std::vector<std::uint8_t>(size * size * 3);
  std::vector<std::uint8_t> labels = std::vector<std::uint8_t>(size * size);
  friend bool operator==(const Result&, const Result&) = default;
};

Result run(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch, std::int64_t sample) {
  Result result;
  augment(prepared, kind, seed, epoch, sample, size, size, result.image.data(), result.labels.data());
  return result;
}

/// An ellipse off the middle, light on dark, labelled 1.
LabelledImage ellipse(int width, int height) {
  LabelledImage pair{test::flat_rgb(width, height, 40), test::flat_mask(width, height, 0)};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double dx = (x + 0.5) / width - 0.4, dy = (y + 0.5) / height - 0.55;
      if (dx * dx / 0.04 + dy * dy / 0.09 > 1) continue;
      pair.labels.row(y)[x] = 1;
      std::fill_n(pair.image.row(y) + 3 * x, 3, std::uint8_t{200});
    }
  }
  return pair;
}

TEST(Augment, NoneOnlyResizes) {
  const LabelledImage source = ellipse(size, size);
  const LabelledImage prepared = prepare(source, Augment::none, size, size);
  const Result result = run(prepared, Augment::none, 1, 2, 3);
  EXPECT_EQ(result.image, source.image.pixels);
  EXPECT_EQ(result.labels, source.labels.pixels);
}

TEST(Augment, PreparesTheSizesItSays) {
  const auto prepared_size = [](int width, int height, Augment kind) {
    const LabelledImage pair = prepare(ellipse(width, height), kind, size, size);
    EXPECT_EQ(pair.image.width, pair.labels.width);
    EXPECT_EQ(pair.image.height, pair.labels.height);
    return std::pair{pair.image.width, pair.image.height};
  };
  EXPECT_EQ(prepared_size(500, 300, Augment::flip), (std::pair{64, 64}));
  EXPECT_EQ(prepared_size(500, 300, Augment::standard), (std::pair{80, 80}));
  EXPECT_EQ(prepared_size(500, 70, Augment::standard), (std::pair{80, 70}));
  EXPECT_EQ(prepared_size(20, 30, Augment::standard), (std::pair{20, 30}));
}

TEST(Augment, FlipMirrorsImageAndLabelsHalfTheTime) {
  const LabelledImage prepared = prepare(ellipse(100, 90), Augment::flip, size, size);
  const Result plain = run(prepared, Augment::none, 0, 0, 0);
  Result mirrored;
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const int to = y * size + x, from = y * size + size - 1 - x;
      mirrored.labels[static_cast<std::size_t>(to)] = plain.labels[static_cast<std::size_t>(from)];
      for (int c = 0; c < 3; ++c) {
        mirrored.image[static_cast<std::size_t>(3 * to + c)] = plain.image[static_cast<std::size_t>(3 * from + c)];
      }
    }
  }
  ASSERT_FALSE(plain == mirrored);
  int flips = 0;
  for (int sample = 0; sample < 200; ++sample) {
    const Result result = run(prepared, Augment::flip, 7, 1, sample);
    ASSERT_TRUE(result == plain || result == mirrored);
    flips += result == mirrored;
  }
  EXPECT_NEAR(flips, 100, 30);
}

TEST(Augment, IsAPureFunctionOfSeedEpochAndSample) {
  const LabelledImage prepared = prepare(ellipse(100, 90), Augment::standard, size, size);
  const Result first = run(prepared, Augment::standard, 1, 2, 3);
  std::vector<Result> results{first};
  for (const auto& [seed, epoch, sample] : {std::array{2, 2, 3}, {1, 3, 3}, {1, 2, 4}, {3, 2, 1}, {1, 2, 2}}) {
    const Result other = run(prepared, Augment::standard, static_cast<std::uint64_t>(seed), epoch, sample);
    for (const Result& earlier : results) EXPECT_FALSE(earlier == other);
    results.push_back(other);
  }
  EXPECT_TRUE(run(prepared, Augment::standard, 1, 2, 3) == first);
}

/// Colours are mapped affinely, so the two levels of the ellipse stay two levels: away from its edge a pixel's level
/// tells its label.
TEST(Augment, LabelsFollowTheImage) {
  const LabelledImage prepared = prepare(ellipse(200, 160), Augment::standard, size, size);
  for (int sample = 0; sample < 100; ++sample) {
    const Result result = run(prepared, Augment::standard, 5, 0, sample);
    const auto [low, high] = std::minmax_element(result.image.begin(), result.image.end());
    ASSERT_GT(*high - *low, 50);
    int inside = 0, mixed = 0;
    for (std::size_t i = 0; i < result.labels.size(); ++i) {
      const int level = result.image[3 * i];
      const double share = static_cast<double>(level - *low) / (*high - *low);
      ASSERT_LE(result.labels[i], 1);
      // A nearest label may disagree with the blend only where the pixel is one: the shares leave room for rounding.
      if (share > 0.95) {
        ASSERT_EQ(result.labels[i], 1) << "sample " << sample << " pixel " << i;
      }
      if (share < 0.05) {
        ASSERT_EQ(result.labels[i], 0) << "sample " << sample << " pixel " << i;
      }
      inside += result.labels[i];
      mixed += share >= 0.05 && share <= 0.95;
    }
    EXPECT_GT(inside, size * size / 10);
    EXPECT_LT(mixed, size * size / 10);
  }
}

/// Mean position of the ellipse and its area vary as the crop, the flip and the rotation say.
TEST(Augment, StandardMovesAndScales) {
  const LabelledImage prepared = prepare(ellipse(200, 160), Augment::standard, size, size);
  double least_area = 1, most_area = 0, least_x = 1, most_x = 0;
  std::set<std::uint8_t> levels;
  for (int sample = 0; sample < 300; ++sample) {
    const Result result = run(prepared, Augment::standard, 9, 4, sample);
    double area = 0, sum_x = 0;
    for (std::size_t i = 0; i < result.labels.size(); ++i) {
      area += result.labels[i];
      sum_x += result.labels[i] * (static_cast<double>(i % size) + 0.5);
    }
    least_area = std::min(least_area, area / (size * size));
    most_area = std::max(most_area, area / (size * size));
    least_x = std::min(least_x, sum_x / area / size);
    most_x = std::max(most_x, sum_x / area / size);
    levels.insert(*std::max_element(result.image.begin(), result.image.end()));
  }
  const double area = std::numbers::pi * 0.2 * 0.3;
  EXPECT_NEAR(least_area, area, 0.02);
  EXPECT_NEAR(most_area, area / 0.7, 0.03);
  EXPECT_LT(least_x, 0.40);
  EXPECT_GT(most_x, 0.60);
  EXPECT_GT(levels.size(), 40u);
}

TEST(Augment, KeepsGrayGrayAndIgnoredIgnored) {
  LabelledImage source = ellipse(90, 90);
  for (std::uint8_t& label : source.labels.pixels) label = label ? ignored_label : 1;
  const LabelledImage prepared = prepare(source, Augment::standard, size, size);
  for (int sample = 0; sample < 20; ++sample) {
    const Result result = run(prepared, Augment::standard, 0, 0, sample);
    for (std::size_t i = 0; i < result.labels.size(); ++i) {
      ASSERT_NEAR(result.image[3 * i], result.image[3 * i + 1], 1);
      ASSERT_NEAR(result.image[3 * i], result.image[3 * i + 2], 1);
      ASSERT_TRUE(result.labels[i] == 1 || result.labels[i] == ignored_label);
    }
  }
}

TEST(Augment, WorksOnOnePixel) {
  const LabelledImage prepared = prepare(ellipse(1, 1), Augment::standard, size, size);
  for (int sample = 0; sample < 5; ++sample) {
    const Result result = run(prepared, Augment::standard, 0, 0, sample);
    EXPECT_EQ(std::set(result.labels.begin(), result.labels.end()).size(), 1u);
  }
}

TEST(Augment, NamesAreParsed) {
  for (const Augment kind : {Augment::none, Augment::flip, Augment::standard}) {
    EXPECT_EQ(parse_augment(name_of(kind)), kind);
  }
  test::expect_parts(test::message_of([] { parse_augment("heavy"); }), {"\"heavy\"", "none, flip or standard"});
}

}  // namespace
}  // namespace unet
