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

/// Weighted means of the rows that tiles are still added to. They are brought up to date tile by tile, mean +=
/// (p - mean) * w / (sum of the weights so far): where the tiles agree, the mean is what they say to the last bit.
class Means {
 public:
  Means(const Axis& rows, const Axis& columns, std::int64_t classes)
      : rows_(rows),
        columns_(columns),
        classes_(static_cast<std::size_t>(classes)),
        above_(rows.weights.size()),
        beside_(columns.sums.size()),
        values_(rows.weights.size() * columns.sums.size() * classes_) {}

  /// p [tile height,tile width,classes] of the next tile of the row, which begins at column `left`.
  void add(const std::vector<float>& p, int left) {
    const std::size_t width = columns_.weights.size(), first = static_cast<std::size_t>(left);
    parallel_for(static_cast<std::int64_t>(rows_.weights.size()), [&](std::int64_t row) {
      const auto y = static_cast<std::size_t>(row);
      const float* from = p.data() + y * width * classes_;
      float* to = values_.data() + (y * beside_.size() + first) * classes_;
      for (std::size_t x = 0; x < width; ++x) {
        const float weight = rows_.weights[y] * columns_.weights[x];
        const float before = above_[y] * columns_.sums[first + x] + rows_.weights[y] * beside_[first + x];
        const float share = weight / (before + weight);
        for (std::size_t c = 0; c < classes_; ++c, ++from, ++to) *to += (*from - *to) * share;
      }
    });
    for (std::size_t x = 0; x < width; ++x) beside_[first + x] += columns_.weights[x];
  }

  /// The first `count` rows without the columns beyond `width`, [count,width,classes], once all their tiles are there.
  const float* finished(int count, int width) {
    const std::size_t row_values = static_cast<std::size_t>(width) * classes_;
    for (std::size_t y = 0; y < static_cast<std::size_t>(count); ++y) {  // in place: never ahead of what is read
      std::copy_n(values_.data() + y * beside_.size() * classes_, row_values, values_.data() + y * row_values);
    }
    return values_.data();
  }

  /// The next row of tiles begins `count` rows below this one.
  void next_row(int count) {
    const auto shift = [](std::vector<float>& values, std::size_t by) {
      std::fill(std::copy(values.begin() + static_cast<std::ptrdiff_t>(by), values.end(), values.begin()), values.end(),
                0.0f);
    };
    for (std::size_t y = 0; y < above_.size(); ++y) above_[y] += rows_.weights[y];
    shift(above_, static_cast<std::size_t>(count));
    shift(values_, static_cast<std::size_t>(count) * beside_.size() * classes_);
    std::fill(beside_.begin(), beside_.end(), 0.0f);
  }

 private:
  const Axis &rows_, &columns_;
  const std::size_t classes_;
  std::vector<float> above_;   // of each row, the weights of the rows of tiles before
  std::vector<float> beside_;  // of each column, the weights of the tiles of this row so far
  std::vector<float> values_;  // [tile height,width,classes]
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
  Means means(rows, columns, predictor.classes());
  for (std::size_t i = 0; i < rows.begins.size(); ++i) {
    const int top = rows.begins[i];
    for (const int left : columns.begins) {
      if (stopped && stopped()) return false;
      means.add(predictor(cut(picture, {top, left, tile_h, tile_w}), of), left);
    }
    const int next = i + 1 < rows.begins.size() ? rows.begins[i + 1] : photo.height;
    visit(top, next - top, means.finished(next - top, photo.width));
    if (i + 1 < rows.begins.size()) means.next_row(next - top);
  }
  return true;
}

}  // namespace unet
