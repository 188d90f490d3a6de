#include "engine/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/resize.h"

namespace unet {
namespace {

constexpr std::array<std::string_view, 3> kKindNames{"none", "flip", "standard"};

constexpr double least_area = 0.7;
constexpr double kLeastProportion = 0.85;
constexpr double kMostRotation = 10 * std::numbers::pi / 180;
constexpr double kColorRange = 0.25;
constexpr double kMostHue = 10 * std::numbers::pi / 180;

/// The draws of one sample; the numbers are positions of the generator, so adding one moves no other.
class Draws {
 public:
  enum Which : std::uint64_t { flip, area, proportion, left, top, rotation, brightness, contrast, saturation, hue };
  Draws(std::uint64_t seed, std::int64_t epoch, std::int64_t sample)
      : seed_(seed), epoch_(static_cast<std::uint64_t>(epoch)), sample_(static_cast<std::uint64_t>(sample)) {}
  double uniform(Which which, double low, double high) const {
    return low + (high - low) * random_uniform(seed_, Purpose::augment, epoch_, sample_, which);
  }
  bool flipped() const { return uniform(flip, 0, 1) < 0.5; }

 private:
  std::uint64_t seed_, epoch_, sample_;
};

/// Source position of an output pixel: x = xx * column + xy * row + x0, y alike; pixel centres at integers.
struct Affine {
  double xx, xy, x0, yx, yy, y0;
};

/// Output pixel -> centred at 0 -> mirrored -> turned, in output pixels -> the crop's share of the source.
Affine draw_geometry(const Draws& draws, const Image& source, int height, int width) {
  const double area = draws.uniform(Draws::area, least_area, 1);
  const double stretch =
      std::exp(draws.uniform(Draws::proportion, std::log(kLeastProportion), -std::log(kLeastProportion)) / 2);
  const double crop_w = std::min(1.0, std::sqrt(area) * stretch), crop_h = std::min(1.0, std::sqrt(area) / stretch);
  const double middle_x = crop_w / 2 + draws.uniform(Draws::left, 0, 1 - crop_w);
  const double middle_y = crop_h / 2 + draws.uniform(Draws::top, 0, 1 - crop_h);
  const double angle = draws.uniform(Draws::rotation, -kMostRotation, kMostRotation);
  const double cosine = std::cos(angle), sine = std::sin(angle), mirror = draws.flipped() ? -1 : 1;
  const double scale_x = crop_w * source.width / width, scale_y = crop_h * source.height / height;
  Affine map{};
  map.xx = scale_x * cosine * mirror;
  map.xy = -scale_x * sine;
  map.yx = scale_y * sine * mirror;
  map.yy = scale_y * cosine;
  const double half_w = 0.5 * (width - 1), half_h = 0.5 * (height - 1);
  map.x0 = middle_x * source.width - 0.5 - map.xx * half_w - map.xy * half_h;
  map.y0 = middle_y * source.height - 0.5 - map.yx * half_w - map.yy * half_h;
  return map;
}

/// Red, green and blue; the fourth lane is idle.
using Color = float __attribute__((vector_size(16)));

Color color_at(const std::uint8_t* pixel) {
  using Bytes = std::uint8_t __attribute__((vector_size(4)));
  return __builtin_convertvector((Bytes{pixel[0], pixel[1], pixel[2]}), Color);
}

/// Reflects about the image's edge (half a pixel outside the outer centres), once: no map above reaches further.
float reflected(float at, float size) {
  at = at < -0.5f ? -1 - at : at;
  at = at > size - 0.5f ? 2 * size - 1 - at : at;
  return std::min(std::max(at, 0.0f), size - 1);
}

/// Where the pixels of a row come from along one axis: x0 + step * column, reflected; whole part and rest.
void places(double x0, double step, int size, std::vector<int>& whole, std::vector<float>& rest) {
  const auto begin = static_cast<float>(x0), slope = static_cast<float>(step);
  for (std::size_t column = 0; column < whole.size(); ++column) {
    const float at = reflected(begin + slope * static_cast<float>(static_cast<int>(column)), static_cast<float>(size));
    whole[column] = static_cast<int>(at);
    rest[column] = at - static_cast<float>(whole[column]);
  }
}

/// Fills colors [height, width] in 0..255 and labels.
void warp(const LabelledImage& source, const Affine& map, int height, int width, Color* colors, std::uint8_t* labels) {
  const int last_x = source.image.width - 1, last_y = source.image.height - 1;
  const auto count = static_cast<std::size_t>(width);
  std::vector<int> lefts(count), tops(count);
  std::vector<float> rests_x(count), rests_y(count);
  for (int row = 0; row < height; ++row) {
    places(map.x0 + map.xy * row, map.xx, source.image.width, lefts, rests_x);
    places(map.y0 + map.yy * row, map.yx, source.image.height, tops, rests_y);
    for (std::size_t column = 0; column < count; ++column) {
      const int left = lefts[column], top = tops[column];
      const float fx = rests_x[column], fy = rests_y[column];
      const int right = std::min(left + 1, last_x), bottom = std::min(top + 1, last_y);
      const std::uint8_t* upper = source.image.row(top);
      const std::uint8_t* lower = source.image.row(bottom);
      const Color a = color_at(upper + 3 * left), b = color_at(upper + 3 * right);
      const Color d = color_at(lower + 3 * left), e = color_at(lower + 3 * right);
      const Color above = a + fx * (b - a), below = d + fx * (e - d);
      *colors++ = above + fy * (below - above);
      *labels++ = source.labels.row(fy < 0.5f ? top : bottom)[fx < 0.5f ? left : right];
    }
  }
}

struct ColorMap {
  Color of_red, of_green, of_blue;  // what each of a pixel's three adds to the new ones
  float offset;
};

/// Luma of ITU-R BT.601, as photographs are usually turned to gray.
constexpr std::array<double, 3> luma{0.299, 0.587, 0.114};

/// hue(saturation(contrast(brightness(x)))): contrast blends with the image's mean gray, saturation with the pixel's
/// gray, hue turns about the gray axis (Rodrigues). The last two keep grays, so the offset passes through them.
ColorMap draw_colors(const Draws& draws, double mean_gray) {
  const double low = 1 - kColorRange, high = 1 + kColorRange;
  const double brightness = draws.uniform(Draws::brightness, low, high);
  const double contrast = draws.uniform(Draws::contrast, low, high);
  const double saturation = draws.uniform(Draws::saturation, low, high);
  const double angle = draws.uniform(Draws::hue, -kMostHue, kMostHue);
  const double cosine = std::cos(angle), gray = (1 - cosine) / 3, cross = std::sin(angle) / std::numbers::sqrt3;
  ColorMap map{};
  for (int row = 0; row < 3; ++row) {
    for (int column = 0; column < 3; ++column) {
      double sum = 0;
      for (int k = 0; k < 3; ++k) {
        const double turn = row == k ? cosine + gray : gray + ((k - row + 3) % 3 == 1 ? -cross : cross);
        sum += turn * ((k == column ? saturation : 0) + (1 - saturation) * luma[static_cast<std::size_t>(column)]);
      }
      (column == 0   ? map.of_red
       : column == 1 ? map.of_green
                     : map.of_blue)[row] = static_cast<float>(sum * contrast * brightness);
    }
  }
  map.offset = static_cast<float>((1 - contrast) * brightness * mean_gray);
  return map;
}

double mean_gray(const std::vector<Color>& colors) {
  std::array<double, 3> sums{};
  for (const Color& color : colors) {
    for (std::size_t c = 0; c < 3; ++c) sums[c] += color[c];
  }
  return (luma[0] * sums[0] + luma[1] * sums[1] + luma[2] * sums[2]) / static_cast<double>(colors.size());
}

void apply_colors(const std::vector<Color>& colors, const ColorMap& map, std::uint8_t* image) {
  using Whole = int __attribute__((vector_size(16)));
  constexpr Color kLeast{}, kMost{255, 255, 255, 255};
  for (const Color& color : colors) {
    Color value = map.of_red * color[0] + map.of_green * color[1] + map.of_blue * color[2] + map.offset + 0.5f;
    value = value < kLeast ? kLeast : value > kMost ? kMost : value;
    const Whole whole = __builtin_convertvector(value, Whole);
    for (int c = 0; c < 3; ++c) *image++ = static_cast<std::uint8_t>(whole[c]);
  }
}

void copy(const LabelledImage& pair, bool flipped, std::uint8_t* image, std::uint8_t* labels) {
  const std::size_t count = pair.labels.pixels.size(), width = static_cast<std::size_t>(pair.labels.width);
  if (!flipped) {
    std::memcpy(image, pair.image.pixels.data(), count * 3);
    std::memcpy(labels, pair.labels.pixels.data(), count);
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t column = i % width, from = i - column + (width - 1 - column);
    std::memcpy(image + 3 * i, pair.image.pixels.data() + 3 * from, 3);
    labels[i] = pair.labels.pixels[from];
  }
}

}  // namespace

std::string_view name_of(Augment kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

Augment parse_augment(std::string_view name) {
  for (std::size_t i = 0; i < kKindNames.size(); ++i) {
    if (kKindNames[i] == name) return static_cast<Augment>(i);
  }
  throw Error("augmentation \"{}\": expected none, flip or standard", name);
}

LabelledImage prepare(LabelledImage pair, Augment kind, int height, int width) {
  if (kind == Augment::standard) {
    width = std::min(pair.image.width, width + (width + 3) / 4);
    height = std::min(pair.image.height, height + (height + 3) / 4);
  }
  return {resize_bilinear(std::move(pair.image), width, height), resize_nearest(std::move(pair.labels), width, height)};
}

void augment(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch, std::int64_t sample,
             int height, int width, std::uint8_t* image, std::uint8_t* labels) {
  const Draws draws(seed, epoch, sample);
  if (kind != Augment::standard) return copy(prepared, kind == Augment::flip && draws.flipped(), image, labels);
  thread_local std::vector<Color> colors;  // fresh memory of this size costs page faults, each time
  colors.resize(static_cast<std::size_t>(height) * width);
  warp(prepared, draw_geometry(draws, prepared.image, height, width), height, width, colors.data(), labels);
  apply_colors(colors, draw_colors(draws, mean_gray(colors)), image);
}

}  // namespace unet
