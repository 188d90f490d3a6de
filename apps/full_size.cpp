#include "apps/full_size.h"

#include <algorithm>
#include <cmath>

namespace unet {
namespace {

/// Where output pixel i of `to` lies among `from` input pixels, pixel centres at halves, clamped to the border.
struct Place {
  std::int64_t low, high;
  float weight_high;
};
Place place_of(std::int64_t i, std::int64_t to, std::int64_t from) {
  const double at =
      std::clamp((static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5, 0.0,
                 static_cast<double>(from - 1));
  const auto low = static_cast<std::int64_t>(at);
  return {low, std::min(low + 1, from - 1), static_cast<float>(at - static_cast<double>(low))};
}

}  // namespace

std::vector<float> softmax(const Tensor& logits) {
  std::vector<float> p = logits.values<float>();
  const auto classes = static_cast<std::size_t>(logits.shape()[3]);
  for (std::size_t i = 0; i < p.size(); i += classes) {
    const float top = *std::max_element(p.begin() + static_cast<std::ptrdiff_t>(i),
                                        p.begin() + static_cast<std::ptrdiff_t>(i + classes));
    float sum = 0;
    for (std::size_t c = 0; c < classes; ++c) sum += p[i + c] = std::exp(p[i + c] - top);
    for (std::size_t c = 0; c < classes; ++c) p[i + c] /= sum;
  }
  return p;
}

std::vector<std::uint8_t> labels_at_size(const float* p, const MapShape& map, int height, int width,
                                         std::optional<double> threshold) {
  const auto [h, w, C] = map;
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
  std::vector<float> mixed(static_cast<std::size_t>(C));
  for (int y = 0; y < height; ++y) {
    const Place row = place_of(y, height, h);
    for (int x = 0; x < width; ++x) {
      const Place column = place_of(x, width, w);
      for (std::int64_t c = 0; c < C; ++c) {
        const auto at = [&](std::int64_t r, std::int64_t q) {
          return p[static_cast<std::size_t>((r * w + q) * C + c)];
        };
        const float top =
            at(row.low, column.low) + column.weight_high * (at(row.low, column.high) - at(row.low, column.low));
        const float low =
            at(row.high, column.low) + column.weight_high * (at(row.high, column.high) - at(row.high, column.low));
        mixed[static_cast<std::size_t>(c)] = top + row.weight_high * (low - top);
      }
      auto best = std::max_element(mixed.begin(), mixed.end());
      if (threshold && C > 1) {
        const bool foreground = 1.0 - static_cast<double>(mixed[0]) >= *threshold;
        best = foreground ? std::max_element(mixed.begin() + 1, mixed.end()) : mixed.begin();
      }
      labels[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)] =
          static_cast<std::uint8_t>(best - mixed.begin());
    }
  }
  return labels;
}

}  // namespace unet
