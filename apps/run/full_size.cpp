#include "apps/run/full_size.h"

#include <algorithm>
#include <array>
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

/// A map's rows at another size, to be asked for from the top: each of the map's own rows is widened once.
class Rows {
 public:
  Rows(const float* p, const MapShape& map, int height, int width) : p_(p), map_(map), height_(height) {
    for (int x = 0; x < width; ++x) columns_.push_back(place_of(x, width, map.width));
    row_.resize(columns_.size() * static_cast<std::size_t>(map.classes));
  }

  /// [width,classes], valid until the next call.
  const float* at(int y) {
    const Place place = place_of(y, height_, map_.height);
    const float *low = widened(place.low), *high = widened(place.high);
    for (std::size_t i = 0; i < row_.size(); ++i) row_[i] = low[i] + place.weight_high * (high[i] - low[i]);
    return row_.data();
  }

 private:
  struct Widened {
    std::int64_t row = -1;
    std::vector<float> values;
  };

  const float* widened(std::int64_t row) {
    Widened& out = widened_[static_cast<std::size_t>(row % 2)];  // of two neighbours one is even
    if (out.row == row) return out.values.data();
    out.row = row;
    out.values.resize(row_.size());
    const std::int64_t C = map_.classes;
    const float* const begin = p_ + row * map_.width * C;
    float* to = out.values.data();
    for (const Place& column : columns_) {
      const float *low = begin + column.low * C, *high = begin + column.high * C;
      for (std::int64_t c = 0; c < C; ++c) *to++ = low[c] + column.weight_high * (high[c] - low[c]);
    }
    return out.values.data();
  }

  const float* p_;
  const MapShape map_;
  int height_;
  std::vector<Place> columns_;
  std::vector<float> row_;
  std::array<Widened, 2> widened_;
};

/// The place of the largest value, the first of equal ones.
std::int64_t largest(const float* p, std::int64_t first, std::int64_t classes) {
  std::int64_t best = first;
  for (std::int64_t c = first + 1; c < classes; ++c) best = p[c] > p[best] ? c : best;
  return best;
}

/// The usual case with one exponential, of what is not positive.
void softmax_of_two(float* p, std::int64_t pixels) {
  for (float* const end = p + 2 * pixels; p != end; p += 2) {
    const bool second = p[1] > p[0];
    const float less = std::exp(second ? p[0] - p[1] : p[1] - p[0]), sum = 1 + less;
    p[second ? 1 : 0] = 1 / sum;
    p[second ? 0 : 1] = less / sum;
  }
}

}  // namespace

void softmax(float* p, std::int64_t pixels, std::int64_t classes) {
  if (classes == 2) return softmax_of_two(p, pixels);
  const auto C = static_cast<std::size_t>(classes), end = static_cast<std::size_t>(pixels) * C;
  for (std::size_t i = 0; i < end; i += C) {
    float top = p[i], sum = 0;
    for (std::size_t c = 1; c < C; ++c) top = std::max(top, p[i + c]);
    for (std::size_t c = 0; c < C; ++c) sum += p[i + c] = std::exp(p[i + c] - top);
    for (std::size_t c = 0; c < C; ++c) p[i + c] /= sum;
  }
}

std::vector<float> softmax(std::vector<float> p, std::int64_t classes) {
  softmax(p.data(), static_cast<std::int64_t>(p.size()) / classes, classes);
  return p;
}

void put_labels(const float* p, std::int64_t pixels, std::int64_t classes, std::optional<double> threshold,
                std::uint8_t* labels) {
  const auto each = [&](const auto& label_of) {
    for (std::int64_t i = 0; i < pixels; ++i) labels[i] = static_cast<std::uint8_t>(label_of(p + i * classes));
  };
  if (threshold && classes > 1) {
    each([&](const float* q) { return 1.0 - static_cast<double>(q[0]) >= *threshold ? largest(q, 1, classes) : 0; });
  } else if (classes == 2) {  // the usual case, several times as fast
    each([](const float* q) { return q[1] > q[0]; });
  } else {
    each([&](const float* q) { return largest(q, 0, classes); });
  }
}

std::vector<float> map_at_size(const float* p, const MapShape& map, int height, int width) {
  std::vector<float> out;
  const std::int64_t row_values = width * map.classes;
  out.reserve(static_cast<std::size_t>(height * row_values));
  Rows rows(p, map, height, width);
  for (int y = 0; y < height; ++y) {
    const float* row = rows.at(y);
    out.insert(out.end(), row, row + row_values);
  }
  return out;
}

std::vector<std::uint8_t> labels_at_size(const float* p, const MapShape& map, int height, int width,
                                         std::optional<double> threshold) {
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
  Rows rows(p, map, height, width);
  for (int y = 0; y < height; ++y) {
    put_labels(rows.at(y), width, map.classes, threshold, labels.data() + static_cast<std::ptrdiff_t>(y) * width);
  }
  return labels;
}

std::vector<std::uint16_t> plane_of(const float* p, std::int64_t pixels, std::int64_t classes,
                                    std::int64_t chosen_class) {
  std::vector<std::uint16_t> out;
  out.reserve(static_cast<std::size_t>(pixels));
  for (std::int64_t i = 0; i < pixels; ++i) {
    out.push_back(static_cast<std::uint16_t>(std::lround(65535.0f * p[i * classes + chosen_class])));
  }
  return out;
}

std::vector<std::uint16_t> plane_at_size(const float* p, const MapShape& map, std::int64_t chosen_class, int height,
                                         int width) {
  std::vector<float> plane(static_cast<std::size_t>(map.height * map.width));
  for (std::size_t i = 0; i < plane.size(); ++i) {
    plane[i] = p[static_cast<std::int64_t>(i) * map.classes + chosen_class];
  }
  const std::vector<float> at_size = map_at_size(plane.data(), {map.height, map.width, 1}, height, width);
  return plane_of(at_size.data(), static_cast<std::int64_t>(at_size.size()), 1, 0);
}

}  // namespace unet
