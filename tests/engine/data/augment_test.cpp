// Augmentation: pure, aligned with its labels, and random in the ways it says.
#include "engine/data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "tests/engine/data/sample_data.h"

namespace unet::augment_test {
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
  EXPECT_EQ(prepared_size(500, 70, Augment::strong), (std::pair{96, 70}));
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
  for (const Augment kind : {Augment::standard, Augment::strong}) {
    const LabelledImage prepared = prepare(ellipse(100, 90), kind, size, size);
    const Result first = run(prepared, kind, 1, 2, 3);
    std::vector<Result> results{first};
    for (const auto& [seed, epoch, sample] : {std::array{2, 2, 3}, {1, 3, 3}, {1, 2, 4}, {3, 2, 1}, {1, 2, 2}}) {
      const Result other = run(prepared, kind, static_cast<std::uint64_t>(seed), epoch, sample);
      for (const Result& earlier : results) EXPECT_FALSE(earlier == other);
      results.push_back(other);
    }
    EXPECT_TRUE(run(prepared, kind, 1, 2, 3) == first);
  }
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

/// Twelve stripes: so many edges cross a row of what is seen of them, reflections included, as it is wide.
TEST(Augment, StrongEnlargesAndShrinksByTwo) {
  LabelledImage stripes{test::flat_rgb(192, 192, 40), test::flat_mask(192, 192, 0)};
  for (int y = 0; y < 192; ++y) {
    for (int x = 0; x < 192; ++x) stripes.labels.row(y)[x] = x / 16 % 2;
  }
  const LabelledImage prepared = prepare(stripes, Augment::strong, size, size);
  std::vector<int> edges;
  for (int sample = 0; sample < 400; ++sample) {
    const Result result = run(prepared, Augment::strong, 3, 0, sample);
    int most = 0;  // of all rows: a patch hides some
    for (int y = 0; y < size; ++y) {
      int count = 0;
      for (std::size_t x = 1; x < size; ++x) {
        const std::size_t i = static_cast<std::size_t>(y) * size + x;
        count += result.labels[i] + result.labels[i - 1] == 1;
      }
      most = std::max(most, count);
    }
    edges.push_back(most);
  }
  std::sort(edges.begin(), edges.end());
  EXPECT_NEAR(edges.front(), 12 / 2, 1);
  EXPECT_NEAR(edges.back(), 12 * 2, 3);
  EXPECT_NEAR(edges[100], 12 / std::sqrt(2), 1.5);
  EXPECT_NEAR(edges[200], 12, 1.5);
  EXPECT_NEAR(edges[300], 12 * std::sqrt(2), 2);
}

/// Black and white squares, in their own labels: where a photograph is neither enlarged nor spoilt, both change at the
/// same places, also in what is reflected.
TEST(Augment, StrongMovesLabelsWithTheImage) {
  LabelledImage squares{test::flat_rgb(96, 96, 0), test::flat_mask(96, 96, 0)};
  for (int y = 0; y < 96; ++y) {
    for (int x = 0; x < 96; ++x) {
      if ((x / 24 + y / 24) % 2 == 0) continue;
      squares.labels.row(y)[x] = 1;
      std::fill_n(squares.image.row(y) + 3 * x, 3, std::uint8_t{255});
    }
  }
  for (int sample = 0; sample < 100; ++sample) {
    const Result result = run(prepare(squares, Augment::strong, size, size), Augment::strong, 5, 0, sample);
    std::array<double, 2> sum{}, count{};
    for (std::size_t i = 0; i < result.labels.size(); ++i) {
      if (result.labels[i] == kIgnoredLabel) continue;
      sum[result.labels[i]] += result.image[3 * i];
      ++count[result.labels[i]];
    }
    // Of pixels that lie on an edge, and blurred ones, a part is gray.
    const double difference = sum[1] / count[1] - sum[0] / count[0];
    EXPECT_GT(difference, 255 * 0.6 * 0.6 * 0.6) << "sample " << sample;
  }
}

TEST(Augment, StrongCutsAPatchOutOfHalfOfThePictures) {
  const LabelledImage prepared = prepare(ellipse(100, 90), Augment::strong, size, size);
  int cut = 0;
  for (int sample = 0; sample < 400; ++sample) {
    const Result result = run(prepared, Augment::strong, 1, 0, sample);
    int left = size, right = -1, top = size, bottom = -1, count = 0;
    for (int i = 0; i < size * size; ++i) {
      if (result.labels[static_cast<std::size_t>(i)] != kIgnoredLabel) continue;
      for (int c = 0; c < 3; ++c) ASSERT_EQ(result.image[static_cast<std::size_t>(3 * i + c)], 128);
      left = std::min(left, i % size);
      right = std::max(right, i % size);
      top = std::min(top, i / size);
      bottom = std::max(bottom, i / size);
      ++count;
    }
    if (count == 0) continue;
    ++cut;
    const int width = right - left + 1, height = bottom - top + 1;
    EXPECT_EQ(count, width * height);
    EXPECT_GE(std::min(width, height), size / 8);
    EXPECT_LE(std::max(width, height), size / 3);
  }
  EXPECT_NEAR(cut, 200, 40);
}

TEST(Augment, KeepsGrayGrayAndIgnoredIgnored) {
  LabelledImage source = ellipse(90, 90);
  for (std::uint8_t& label : source.labels.pixels) label = label ? kIgnoredLabel : 1;
  const LabelledImage prepared = prepare(source, Augment::standard, size, size);
  for (int sample = 0; sample < 20; ++sample) {
    const Result result = run(prepared, Augment::standard, 0, 0, sample);
    for (std::size_t i = 0; i < result.labels.size(); ++i) {
      ASSERT_NEAR(result.image[3 * i], result.image[3 * i + 1], 1);
      ASSERT_NEAR(result.image[3 * i], result.image[3 * i + 2], 1);
      ASSERT_TRUE(result.labels[i] == 1 || result.labels[i] == kIgnoredLabel);
    }
  }
}

/// The colour of a pixel whose neighbours all have its label, so that it is no blend.
std::array<double, 3> color_of(const Result& result, std::uint8_t label) {
  constexpr int reach = 3;
  for (int y = reach; y < size - reach; ++y) {
    for (int x = reach; x < size - reach; ++x) {
      bool pure = true;
      for (int dy = -reach; dy <= reach; ++dy) {
        for (int dx = -reach; dx <= reach; ++dx)
          pure &= result.labels[static_cast<std::size_t>((y + dy) * size + x + dx)] == label;
      }
      const std::uint8_t* rgb = result.image.data() + 3 * (y * size + x);
      if (pure) return {static_cast<double>(rgb[0]), static_cast<double>(rgb[1]), static_cast<double>(rgb[2])};
    }
  }
  ADD_FAILURE() << "no pixel of label " << int{label};
  return {};
}

/// Three bands: two grays give brightness and contrast, with them undone a blue gives saturation (the distance from the
/// gray axis, which hue keeps) and hue (the angle about it).
TEST(Augment, ColorsVaryAsDocumented) {
  constexpr std::array<std::uint8_t, 3> blue{30, 30, 130};
  LabelledImage bands{test::flat_rgb(90, 90, 60), test::flat_mask(90, 90, 0)};
  for (int y = 0; y < 90; ++y) {
    for (int x = 30; x < 90; ++x) {
      bands.labels.row(y)[x] = x < 60 ? 1 : 2;
      for (int c = 0; c < 3; ++c) bands.image.row(y)[3 * x + c] = x < 60 ? 140 : blue[static_cast<std::size_t>(c)];
    }
  }
  const LabelledImage prepared = prepare(bands, Augment::standard, size, size);
  const auto chroma = [](const std::array<double, 3>& rgb) {
    const double mean = (rgb[0] + rgb[1] + rgb[2]) / 3;
    return std::array{rgb[0] - mean, rgb[1] - mean, rgb[2] - mean};
  };
  const auto dot = [](const auto& a, const auto& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; };
  const auto before = chroma({30, 30, 130});
  double least = 2, most = 0, widest = 0;
  for (int sample = 0; sample < 400; ++sample) {
    const Result result = run(prepared, Augment::standard, 21, 0, sample);
    const double dark = color_of(result, 0)[0], light = color_of(result, 1)[0];
    const double slope = (light - dark) / 80;
    EXPECT_GE(slope, 0.75 * 0.75 - 0.02);
    EXPECT_LE(slope, 1.25 * 1.25 + 0.02);
    std::array<double, 3> color = color_of(result, 2);
    for (double& value : color) value = (value - dark) / slope + 60;
    const auto after = chroma(color);
    const double saturation = std::sqrt(dot(after, after) / dot(before, before));
    const double hue =
        std::acos(std::min(1.0, dot(after, before) / std::sqrt(dot(after, after) * dot(before, before))));
    EXPECT_NEAR(saturation, 1, 0.25 + 0.03);
    EXPECT_LE(hue * 180 / std::numbers::pi, 10 + 1.5);
    const double luma = 0.299 * 30 + 0.587 * 30 + 0.114 * 130, mean = (30 + 30 + 130) / 3.0;
    EXPECT_NEAR((color[0] + color[1] + color[2]) / 3, luma + saturation * (mean - luma), 2.5);
    least = std::min(least, saturation);
    most = std::max(most, saturation);
    widest = std::max(widest, hue);
  }
  EXPECT_LT(least, 0.79);
  EXPECT_GT(most, 1.21);
  EXPECT_GT(widest * 180 / std::numbers::pi, 8.5);
}

TEST(Augment, WorksOnOnePixel) {
  const LabelledImage prepared = prepare(ellipse(1, 1), Augment::standard, size, size);
  for (int sample = 0; sample < 5; ++sample) {
    const Result result = run(prepared, Augment::standard, 0, 0, sample);
    EXPECT_EQ(std::set(result.labels.begin(), result.labels.end()).size(), 1u);
  }
}

TEST(Augment, NamesAreParsed) {
  for (const Augment kind : {Augment::none, Augment::flip, Augment::standard, Augment::strong}) {
    EXPECT_EQ(parse_augment(name_of(kind)), kind);
  }
  test::expect_parts(test::message_of([] { parse_augment("heavy"); }), {"\"heavy\"", "none, flip, standard or strong"});
}

}  // namespace
}  // namespace unet::augment_test
