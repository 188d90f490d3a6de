#include "engine/data/augment.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/distort.h"
#include "engine/data/resize.h"

namespace unet {
namespace {

constexpr std::array<std::string_view, 4> kAugmentNames{"none", "flip", "standard", "strong"};

constexpr double kDegree = std::numbers::pi / 180;
constexpr double kLeastArea = 0.7;  // standard: of the picture that is seen
constexpr double kMostScale = 2;    // strong: of the picture, larger or smaller
constexpr double kLeastProportion = 0.85;
constexpr double kBlurred = 0.2, kNoisy = 0.2, kCut = 0.5;     // strong: how often
constexpr double kLeastSigma = 0.5, kMostSigma = 1.5;          // pixels
constexpr double kLeastNoise = 2, kMostNoise = 12;             // of 255
constexpr double kLeastPatch = 1 / 8.0, kMostPatch = 1 / 3.0;  // of a side

/// How far a kind goes.
struct Strength {
  double rotation, color, hue;
  int folds;  // of reflected()
};
constexpr Strength strength_of(Augment kind) {
  return kind == Augment::strong ? Strength{20 * kDegree, 0.4, 15 * kDegree, 2}
                                 : Strength{10 * kDegree, 0.25, 10 * kDegree, 1};
}

/// The draws of one sample; the numbers are positions of the generator, so adding one moves no other.
class Draws {
 public:
  enum Which : std::uint64_t {
    flip,
    area,
    proportion,
    left,
    top,
    rotation,
    brightness,
    contrast,
    saturation,
    hue,
    blurred,
    sigma,
    noisy,
    deviation,
    noise,
    cut,
    cut_width,
    cut_height,
    cut_left,
    cut_top
  };
  Draws(std::uint64_t seed, std::int64_t epoch, std::int64_t sample)
      : seed_(seed), epoch_(static_cast<std::uint64_t>(epoch)), sample_(static_cast<std::uint64_t>(sample)) {}
  double uniform(Which which, double low, double high) const {
    return low + (high - low) * random_uniform(seed_, Purpose::augment, epoch_, sample_, which);
  }
  bool happens(Which which, double probability) const { return uniform(which, 0, 1) < probability; }
  bool flipped() const { return happens(flip, 0.5); }
  std::uint64_t bits(Which which) const { return random_bits(seed_, Purpose::augment, epoch_, sample_, which); }

 private:
  std::uint64_t seed_, epoch_, sample_;
};

/// Source position of an output pixel: x = xx * column + xy * row + x0, y alike; pixel centres at integers.
struct Affine {
  double xx, xy, x0, yx, yy, y0;
};

/// The sides of what is seen of a picture, as parts of its own. For strong they may be above 1.
std::array<double, 2> draw_sides(const Draws& draws, Augment kind) {
  const double stretch =
      std::exp(draws.uniform(Draws::proportion, std::log(kLeastProportion), -std::log(kLeastProportion)) / 2);
  if (kind == Augment::strong) {
    const double side = std::exp(draws.uniform(Draws::area, -std::log(kMostScale), std::log(kMostScale)));
    return {side * stretch, side / stretch};
  }
  const double side = std::sqrt(draws.uniform(Draws::area, kLeastArea, 1));
  return {std::min(1.0, side * stretch), std::min(1.0, side / stretch)};
}

/// Output pixel -> centred at 0 -> mirrored -> turned, in output pixels -> the crop's share of the source. A crop lies
/// anywhere in the picture, or the picture anywhere in it.
Affine draw_geometry(const Draws& draws, Augment kind, const Image& source, int height, int width) {
  const auto [crop_w, crop_h] = draw_sides(draws, kind);
  const double middle_x = crop_w / 2 + draws.uniform(Draws::left, 0, 1 - crop_w);
  const double middle_y = crop_h / 2 + draws.uniform(Draws::top, 0, 1 - crop_h);
  const double most = strength_of(kind).rotation, angle = draws.uniform(Draws::rotation, -most, most);
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

using Whole = int __attribute__((vector_size(16)));

/// Four bytes at once, of which the last is nobody's, where `end` is not nearer.
Color color_at(const std::uint8_t* pixel, const std::uint8_t* end) {
  std::uint32_t word = 0;
  if (end - pixel >= 4) {
    std::memcpy(&word, pixel, 4);
  } else {
    word = static_cast<std::uint32_t>(pixel[0] | pixel[1] << 8 | pixel[2] << 16);
  }
  // Widened by zeros between: a vector of four bytes GCC would convert one by one.
  using Bytes = std::uint8_t __attribute__((vector_size(16)));
  using Halves = std::uint16_t __attribute__((vector_size(16)));
  const auto bytes = std::bit_cast<Bytes>(Whole{static_cast<int>(word)});
  const auto halves = std::bit_cast<Halves>(
      __builtin_shuffle(bytes, Bytes{}, Bytes{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}));
  return __builtin_convertvector(
      std::bit_cast<Whole>(__builtin_shuffle(halves, Halves{}, Halves{0, 8, 1, 9, 2, 10, 3, 11})), Color);
}

/// Reflects about the image's edges (half a pixel outside the outer centres), once about each or more often.
Color reflected(Color at, float size, int folds) {
  for (int i = 0; i < folds; ++i) {
    at = at < -0.5f ? -1 - at : at;
    at = at > size - 0.5f ? 2 * size - 1 - at : at;
  }
  const Color within = at < 0.0f ? Color{} : at;
  return size - 1 < within ? Color{} + (size - 1) : within;
}

/// Where four pixels of a row come from along one axis: between which two, how far behind the first, and the nearer.
struct Places {
  Whole first, second, nearest;
  Color rest;
};

/// Of the pixels of a row: x0 + step * column, reflected. Four at a time, up to three beyond the row.
void places(double x0, double step, int size, int folds, std::vector<Places>& out) {
  const auto begin = static_cast<float>(x0), slope = static_cast<float>(step);
  Whole column{0, 1, 2, 3};
  for (Places& four : out) {
    const Color along = begin + slope * __builtin_convertvector(column, Color);
    const Color at = reflected(along, static_cast<float>(size), folds);
    four.first = __builtin_convertvector(at, Whole);
    four.second = four.first < size - 1 ? four.first + 1 : four.first;
    four.rest = at - __builtin_convertvector(four.first, Color);
    four.nearest = four.rest < 0.5f ? four.first : four.second;
    column += 4;
  }
}

/// Fills colors [height, width] in 0..255 and labels.
void warp(const LabelledImage& source, const Affine& map, int folds, int height, int width, Color* colors,
          std::uint8_t* labels) {
  const auto count = static_cast<std::size_t>(width);
  const std::uint8_t* const end = source.image.pixels.data() + source.image.pixels.size();
  std::vector<Places> across((count + 3) / 4), down(across.size());
  for (int row = 0; row < height; ++row) {
    places(map.x0 + map.xy * row, map.xx, source.image.width, folds, across);
    places(map.y0 + map.yy * row, map.yx, source.image.height, folds, down);
    for (std::size_t column = 0; column < count; ++column) {
      const Places &x = across[column / 4], &y = down[column / 4];
      const std::size_t k = column % 4;
      const std::uint8_t* upper = source.image.row(y.first[k]);
      const std::uint8_t* lower = source.image.row(y.second[k]);
      const Color a = color_at(upper + 3 * x.first[k], end), b = color_at(upper + 3 * x.second[k], end);
      const Color d = color_at(lower + 3 * x.first[k], end), e = color_at(lower + 3 * x.second[k], end);
      const Color above = a + x.rest[k] * (b - a), below = d + x.rest[k] * (e - d);
      *colors++ = above + y.rest[k] * (below - above);
      *labels++ = source.labels.row(y.nearest[k])[x.nearest[k]];
    }
  }
}

/// As warp; where a pixel covers more than two of the source, the mean of five points in it, against aliases.
void warp_smoothly(const LabelledImage& source, const Affine& map, int folds, int height, int width,
                   std::vector<Color>& colors, std::uint8_t* labels) {
  constexpr double kShift = 1 / 3.0;  // output pixels
  warp(source, map, folds, height, width, colors.data(), labels);
  if (std::abs(map.xx * map.yy - map.xy * map.yx) <= 2) return;
  std::vector<Color> beside(colors.size());
  std::vector<std::uint8_t> unused(colors.size());
  for (const double down : {-kShift, kShift}) {
    for (const double right : {-kShift, kShift}) {
      Affine shifted = map;
      shifted.x0 += map.xx * right + map.xy * down;
      shifted.y0 += map.yx * right + map.yy * down;
      warp(source, shifted, folds, height, width, beside.data(), unused.data());
      for (std::size_t i = 0; i < colors.size(); ++i) colors[i] += beside[i];
    }
  }
  for (Color& color : colors) color *= 0.2f;
}

struct ColorMap {
  Color of_red, of_green, of_blue;  // what each of a pixel's three adds to the new ones
  float offset;
};

/// Luma of ITU-R BT.601, as photographs are usually turned to gray.
constexpr std::array<double, 3> luma{0.299, 0.587, 0.114};

/// hue(saturation(contrast(brightness(x)))): contrast blends with the image's mean gray, saturation with the pixel's
/// gray, hue turns about the gray axis (Rodrigues). The last two keep grays, so the offset passes through them.
ColorMap draw_colors(const Draws& draws, const Strength& strength, double mean_gray) {
  const double low = 1 - strength.color, high = 1 + strength.color;
  const double brightness = draws.uniform(Draws::brightness, low, high);
  const double contrast = draws.uniform(Draws::contrast, low, high);
  const double saturation = draws.uniform(Draws::saturation, low, high);
  const double angle = draws.uniform(Draws::hue, -strength.hue, strength.hue);
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
  constexpr Color kLeast{}, kMost{255, 255, 255, 255};
  for (const Color& color : colors) {
    Color value = map.of_red * color[0] + map.of_green * color[1] + map.of_blue * color[2] + map.offset + 0.5f;
    value = value < kLeast ? kLeast : value > kMost ? kMost : value;
    const Whole whole = __builtin_convertvector(value, Whole);
    for (int c = 0; c < 3; ++c) *image++ = static_cast<std::uint8_t>(whole[c]);
  }
}

void blur_and_noise(const Draws& draws, int height, int width, std::vector<Color>& colors) {
  if (draws.happens(Draws::blurred, kBlurred)) {
    blur(colors, height, width, draws.uniform(Draws::sigma, kLeastSigma, kMostSigma));
  }
  if (draws.happens(Draws::noisy, kNoisy)) {
    add_noise(colors, draws.uniform(Draws::deviation, kLeastNoise, kMostNoise), draws.bits(Draws::noise));
  }
}

/// Lies in the picture as a whole.
Patch draw_patch(const Draws& draws, int height, int width) {
  Patch patch;
  patch.width = static_cast<int>(draws.uniform(Draws::cut_width, kLeastPatch, kMostPatch) * width);
  patch.height = static_cast<int>(draws.uniform(Draws::cut_height, kLeastPatch, kMostPatch) * height);
  patch.left = static_cast<int>(draws.uniform(Draws::cut_left, 0, width - patch.width + 1));
  patch.top = static_cast<int>(draws.uniform(Draws::cut_top, 0, height - patch.height + 1));
  return patch;
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

std::string_view name_of(Augment kind) { return kAugmentNames[static_cast<std::size_t>(kind)]; }

Augment parse_augment(std::string_view name) {
  for (std::size_t i = 0; i < kAugmentNames.size(); ++i) {
    if (kAugmentNames[i] == name) return static_cast<Augment>(i);
  }
  throw Error("augmentation \"{}\": expected none, flip, standard or strong", name);
}

LabelledImage prepare(LabelledImage pair, Augment kind, int height, int width) {
  if (kind == Augment::standard || kind == Augment::strong) {
    const int part = kind == Augment::strong ? 2 : 4;
    width = std::min(pair.image.width, width + (width + part - 1) / part);
    height = std::min(pair.image.height, height + (height + part - 1) / part);
  }
  return {resize_bilinear(std::move(pair.image), width, height), resize_nearest(std::move(pair.labels), width, height)};
}

void augment(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch, std::int64_t sample,
             int height, int width, std::uint8_t* image, std::uint8_t* labels) {
  const Draws draws(seed, epoch, sample);
  if (kind == Augment::none || kind == Augment::flip) {
    return copy(prepared, kind == Augment::flip && draws.flipped(), image, labels);
  }
  const Strength strength = strength_of(kind);
  const Affine map = draw_geometry(draws, kind, prepared.image, height, width);
  thread_local std::vector<Color> colors;  // fresh memory of this size costs page faults, each time
  colors.resize(static_cast<std::size_t>(height) * width);
  warp_smoothly(prepared, map, strength.folds, height, width, colors, labels);
  if (kind == Augment::strong) blur_and_noise(draws, height, width, colors);
  apply_colors(colors, draw_colors(draws, strength, mean_gray(colors)), image);
  if (kind == Augment::strong && draws.happens(Draws::cut, kCut)) {
    cut_out(draw_patch(draws, height, width), width, image, labels);
  }
}

}  // namespace unet
