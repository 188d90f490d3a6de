// Pillow's resampling (Imaging/Resample.c for 8 bits a channel, Geometry.c for nearest): weights in 22-bit fixed point.
#include "engine/data/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/error.h"

namespace unet {
namespace {

/// 8 bits of value, 2 bits of head room for the sum, the rest of an int32 for the weight.
constexpr int kWeightBits = 32 - 8 - 2;
constexpr std::int32_t half = 1 << (kWeightBits - 1);

/// For each output position: the first input position, how many follow, and their weights (taps of them, zero-padded).
struct Filter {
  int taps = 0;
  std::vector<int> first, count;
  std::vector<std::int32_t> weights;
};

Filter triangle_filter(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  const double support = std::max(scale, 1.0);
  Filter filter;
  filter.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  filter.first.resize(static_cast<std::size_t>(to));
  filter.count.resize(static_cast<std::size_t>(to));
  filter.weights.resize(static_cast<std::size_t>(to) * filter.taps);
  std::vector<double> exact(static_cast<std::size_t>(filter.taps));
  for (int x = 0; x < to; ++x) {
    const double center = (x + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(from, static_cast<int>(center + support + 0.5)) - first;
    double sum = 0;
    for (int i = 0; i < count; ++i) {
      exact[static_cast<std::size_t>(i)] = std::max(0.0, 1.0 - std::abs((i + first - center + 0.5) * (1.0 / support)));
      sum += exact[static_cast<std::size_t>(i)];
    }
    std::int32_t* weights = filter.weights.data() + static_cast<std::size_t>(x) * filter.taps;
    for (int i = 0; i < count; ++i) {
      weights[i] = static_cast<std::int32_t>(0.5 + exact[static_cast<std::size_t>(i)] / sum * (1 << kWeightBits));
    }
    filter.first[static_cast<std::size_t>(x)] = first;
    filter.count[static_cast<std::size_t>(x)] = count;
  }
  return filter;
}

std::uint8_t rounded(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

template <int C>
void filter_row(const Filter& filter, const std::uint8_t* from, std::uint8_t* to) {
  for (std::size_t x = 0; x < filter.first.size(); ++x) {
    const std::int32_t* weights = filter.weights.data() + x * static_cast<std::size_t>(filter.taps);
    const std::uint8_t* at = from + static_cast<std::size_t>(filter.first[x]) * C;
    std::int32_t sum[C];
    std::fill_n(sum, C, half);
    for (int i = 0; i < filter.count[x]; ++i, at += C) {
      for (int c = 0; c < C; ++c) sum[c] += weights[i] * at[c];
    }
    for (int c = 0; c < C; ++c) *to++ = rounded(sum[c]);
  }
}

Image filter_rows(const Image& image, int width) {
  const Filter filter = triangle_filter(image.width, width);
  Image result(width, image.height, image.channels);
  const auto run = image.channels == 1   ? filter_row<1>
                   : image.channels == 2 ? filter_row<2>
                   : image.channels == 3 ? filter_row<3>
                                         : filter_row<4>;
  for (int y = 0; y < image.height; ++y) run(filter, image.row(y), result.row(y));
  return result;
}

Image filter_columns(const Image& image, int height) {
  const Filter filter = triangle_filter(image.height, height);
  Image result(image.width, height, image.channels);
  const std::size_t row_size = static_cast<std::size_t>(image.width) * image.channels;
  std::vector<std::int32_t> sums(row_size);
  for (int y = 0; y < height; ++y) {
    const std::size_t at = static_cast<std::size_t>(y);
    std::fill(sums.begin(), sums.end(), half);
    for (int i = 0; i < filter.count[at]; ++i) {
      const std::int32_t weight =
          filter.weights[at * static_cast<std::size_t>(filter.taps) + static_cast<std::size_t>(i)];
      const std::uint8_t* row = image.row(filter.first[at] + i);
      for (std::size_t j = 0; j < row_size; ++j) sums[j] += weight * row[j];
    }
    std::transform(sums.begin(), sums.end(), result.row(y), rounded);
  }
  return result;
}

void check_target(int width, int height) {
  if (width < 1 || height < 1)
    throw Error("cannot resize an image to {}x{}, expected sides of at least 1", width, height);
}

}  // namespace

/// The running sum, not the product, as Pillow: the two differ where a centre falls on the edge of a pixel.
std::vector<int> nearest_positions(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  std::vector<int> positions(static_cast<std::size_t>(to));
  double center = 0.5 * scale;
  for (int& position : positions) {
    position = std::min(from - 1, static_cast<int>(center));
    center += scale;
  }
  return positions;
}

Image resize_bilinear(Image image, int width, int height) {
  check_target(width, height);
  const std::int64_t warnings = image.warnings;
  if (image.width != width) image = filter_rows(image, width);
  if (image.height != height) image = filter_columns(image, height);
  image.warnings = warnings;
  return image;
}

Image resize_nearest(Image image, int width, int height) {
  check_target(width, height);
  if (image.width == width && image.height == height) return image;
  const std::vector<int> columns = nearest_positions(image.width, width),
                         rows = nearest_positions(image.height, height);
  Image result(width, height, image.channels);
  result.warnings = image.warnings;
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from = image.row(rows[static_cast<std::size_t>(y)]);
    std::uint8_t* to = result.row(y);
    for (const int column : columns) {
      to = std::copy_n(from + static_cast<std::size_t>(column) * image.channels, image.channels, to);
    }
  }
  return result;
}

}  // namespace unet
