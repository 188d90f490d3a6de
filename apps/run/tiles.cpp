#include "apps/run/tiles.h"

#include <algorithm>

#include "engine/data/crop.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

using kernels::cpu::parallel_for;

/// The tiles along one axis, and of each pixel the sum of their weights.
struct Axis {
  Axis(int length, int tile) : begins(tile_positions(length, tile)), weights(tile_weights(tile)) {
    sums.resize(static_cast<std::size_t>(length));
    for (const int begin : begins) {
      for (std::size_t i = 0; i < weights.size(); ++i) sums[static_cast<std::size_t>(begin) + i] += weights[i];
    }
  }
  std::vector<int> begins;
  std::vector<float> weights, sums;
};

/// Weighted sums of the rows that tiles are still added to: [tile height,width,classes], the first at `top`.
class Sums {
 public:
  Sums(const Axis& rows, const Axis& columns, std::int64_t classes)
      : rows_(rows),
        columns_(columns),
        classes_(classes),
        row_values_(columns.sums.size() * static_cast<std::size_t>(classes)),
        values_(rows.weights.size() * row_values_) {}

  /// p [tile height,tile width,classes] of the tile that begins at column `left`.
  void add(const std::vector<float>& p, int left) {
    const std::size_t width = columns_.weights.size(), C = static_cast<std::size_t>(classes_);
    parallel_for(static_cast<std::int64_t>(rows_.weights.size()), [&](std::int64_t row) {
      const auto y = static_cast<std::size_t>(row);
      const float* from = p.data() + y * width * C;
      float* to = row_of(y) + static_cast<std::size_t>(left) * C;
      for (std::size_t x = 0; x < width; ++x) {
        const float weight = rows_.weights[y] * columns_.weights[x];
        for (std::size_t c = 0; c < C; ++c) *to++ += weight * *from++;
      }
    });
  }

  /// The means of the first `count` rows, the first of which is row `top` of the picture, without the columns beyond
  /// `width`: [count,width,classes].
  const float* means(int top, int count, int width) {
    const std::size_t C = static_cast<std::size_t>(classes_);
    for (std::size_t y = 0; y < static_cast<std::size_t>(count); ++y) {
      const float of_row = rows_.sums[static_cast<std::size_t>(top) + y];
      const float* from = row_of(y);
      float* to = values_.data() + y * static_cast<std::size_t>(width) * C;  // never behind `from`
      for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x) {
        const float sum = of_row * columns_.sums[x];
        for (std::size_t c = 0; c < C; ++c) *to++ = *from++ / sum;
      }
    }
    return values_.data();
  }

  /// The first `count` rows are done with.
  void drop(int count) {
    const auto done = values_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(count) * row_values_);
    std::fill(std::copy(done, values_.end(), values_.begin()), values_.end(), 0.0f);
  }

 private:
  float* row_of(std::size_t row) { return values_.data() + row * row_values_; }

  const Axis &rows_, &columns_;
  const std::int64_t classes_;
  const std::size_t row_values_;
  std::vector<float> values_;
};

}  // namespace

std::vector<int> tile_positions(int length, int tile) {
  const int room = length - tile, most_step = std::max(1, tile - tile / 4);
  const int steps = (room + most_step - 1) / most_step;
  std::vector<int> out{0};
  for (int i = 1; i <= steps; ++i) out.push_back(static_cast<int>(std::int64_t{room} * i / steps));
  return out;
}

std::vector<float> tile_weights(int tile) {
  std::vector<float> out;
  for (int i = 0; i < tile; ++i) out.push_back(static_cast<float>(1 + std::min(i, tile - 1 - i)));
  return out;
}

bool predict_tiles(Predictor& predictor, const Image& photo, const ImageExtent& extent, const std::string& of,
                   const RowsVisitor& visit, const std::function<bool()>& stopped) {
  const int tile_h = static_cast<int>(extent.height), tile_w = static_cast<int>(extent.width);
  const bool fits = photo.height >= tile_h && photo.width >= tile_w;
  const Image padded = fits ? Image() : pad_reflected(photo, tile_h, tile_w);
  const Image& picture = fits ? photo : padded;
  const Axis rows(picture.height, tile_h), columns(picture.width, tile_w);
  Sums sums(rows, columns, predictor.classes());
  for (std::size_t i = 0; i < rows.begins.size(); ++i) {
    const int top = rows.begins[i];
    for (const int left : columns.begins) {
      if (stopped && stopped()) return false;
      sums.add(predictor(cut(picture, {top, left, tile_h, tile_w}), of), left);
    }
    const int next = i + 1 < rows.begins.size() ? rows.begins[i + 1] : photo.height;
    visit(top, next - top, sums.means(top, next - top, photo.width));
    if (i + 1 < rows.begins.size()) sums.drop(next - top);
  }
  return true;
}

}  // namespace unet
