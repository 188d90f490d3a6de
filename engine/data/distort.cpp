#include "engine/data/distort.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "engine/core/rng.h"
#include "engine/data/dataset.h"

namespace unet {
namespace {

constexpr std::uint8_t kGray = 128;

/// out[i] = sum of weights[|k|] * in[i + k]; in and out are `count` pixels, `stride` apart. They must not overlap.
void blur_line(const Color* in, Color* out, int count, std::ptrdiff_t stride, const std::vector<float>& weights) {
  const int reach = static_cast<int>(weights.size()) - 1;
  for (int i = 0; i < count; ++i) {
    Color sum = weights[0] * in[i * stride];
    for (int k = 1; k <= reach; ++k) {
      const Color before = in[std::max(i - k, 0) * stride], after = in[std::min(i + k, count - 1) * stride];
      sum += weights[static_cast<std::size_t>(k)] * (before + after);
    }
    out[i * stride] = sum;
  }
}

}  // namespace

void blur(std::vector<Color>& colors, int height, int width, double sigma) {
  std::vector<float> weights(static_cast<std::size_t>(std::ceil(3 * sigma)) + 1);
  double sum = 0;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const double x = static_cast<double>(k) / sigma, weight = std::exp(-x * x / 2);
    weights[k] = static_cast<float>(weight);
    sum += k == 0 ? weight : 2 * weight;
  }
  for (float& weight : weights) weight /= static_cast<float>(sum);
  thread_local std::vector<Color> along_rows;
  along_rows.resize(colors.size());
  for (int y = 0; y < height; ++y) {
    const std::ptrdiff_t row = std::ptrdiff_t{y} * width;
    blur_line(colors.data() + row, along_rows.data() + row, width, 1, weights);
  }
  for (int x = 0; x < width; ++x) blur_line(along_rows.data() + x, colors.data() + x, height, width, weights);
}

void add_noise(std::vector<Color>& colors, double deviation, std::uint64_t key) {
  // Four uniform numbers of 16 bits each: their sum has a deviation of 65536 / sqrt(3).
  const auto scale = static_cast<float>(deviation * std::sqrt(3.0) / 65536);
  constexpr float kMean = 2 * 65535;
  for (std::size_t i = 0; i < colors.size(); ++i) {
    for (int c = 0; c < 3; ++c) {
      const std::uint64_t bits = mix64(key ^ (3 * i + static_cast<std::uint64_t>(c)));
      const std::uint64_t sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
      colors[i][c] += scale * (static_cast<float>(static_cast<int>(sum)) - kMean);
    }
  }
}

void cut_out(const Patch& patch, int width, std::uint8_t* image, std::uint8_t* labels) {
  for (int y = patch.top; y < patch.top + patch.height; ++y) {
    const std::ptrdiff_t first = std::ptrdiff_t{y} * width + patch.left;
    std::fill_n(image + 3 * first, std::ptrdiff_t{3} * patch.width, kGray);
    std::fill_n(labels + first, patch.width, kIgnoredLabel);
  }
}

}  // namespace unet
