#include "engine/data/crop.h"

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"

namespace unet {
namespace {

/// Positions of the generator; those of augment() are small numbers.
enum Draw : std::uint64_t { top = 1000, left };

/// A whole number of [0, choices).
int draw(Draw which, std::uint64_t seed, std::int64_t epoch, std::int64_t sample, int choices) {
  const double share = random_uniform(seed, Purpose::augment, static_cast<std::uint64_t>(epoch),
                                      static_cast<std::uint64_t>(sample), which);
  return static_cast<int>(share * choices);
}

/// Where position `at` of a line that is reflected at its ends again and again lies on it.
int reflected(int at, int length) {
  const int folded = at % (2 * length);
  return std::min(folded, 2 * length - 1 - folded);
}

/// The window into an image of its size.
void cut_into(const Image& image, const Window& window, Image& out) {
  out.width = window.width;
  out.height = window.height;
  out.channels = image.channels;
  const std::size_t row_bytes = static_cast<std::size_t>(window.width) * image.channels;
  out.pixels.resize(row_bytes * window.height);
  for (int y = 0; y < window.height; ++y) {
    const std::uint8_t* from = image.row(window.top + y) + static_cast<std::size_t>(window.left) * image.channels;
    std::copy_n(from, row_bytes, out.row(y));
  }
}

}  // namespace

Image cut(const Image& image, const Window& window) {
  Image out;
  cut_into(image, window, out);
  return out;
}

Image pad_reflected(Image image, int height, int width) {
  height = std::max(height, image.height);
  width = std::max(width, image.width);
  if (height == image.height && width == image.width) return image;
  const std::size_t channels = static_cast<std::size_t>(image.channels);
  Image out(width, height, image.channels);
  out.warnings = image.warnings;
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from = image.row(reflected(y, image.height));
    std::uint8_t* to = std::copy_n(from, channels * static_cast<std::size_t>(image.width), out.row(y));
    for (int x = image.width; x < width; ++x) {
      to = std::copy_n(from + channels * static_cast<std::size_t>(reflected(x, image.width)), channels, to);
    }
  }
  return out;
}

LabelledImage prepare_for_crops(LabelledImage pair, int height, int width) {
  if (pair.image.height >= height && pair.image.width >= width) return pair;
  LabelledImage out{pad_reflected(std::move(pair.image), height, width), {}};
  out.labels = Image(out.image.width, out.image.height, 1);
  std::fill(out.labels.pixels.begin(), out.labels.pixels.end(), kIgnoredLabel);
  for (int y = 0; y < pair.labels.height; ++y) {
    std::copy_n(pair.labels.row(y), pair.labels.width, out.labels.row(y));
  }
  return out;
}

Window draw_window(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch,
                   std::int64_t sample, int height, int width) {
  constexpr double kMost = 13.0 / 12;
  const Image& picture = prepared.image;
  Window out{0, 0, height, width};
  if (kind == Augment::standard) {
    const double room =
        std::min(static_cast<double>(picture.height) / height, static_cast<double>(picture.width) / width);
    const double factor = std::clamp(room, 1.0, kMost);
    out.height = std::min(picture.height, static_cast<int>(std::lround(factor * height)));
    out.width = std::min(picture.width, static_cast<int>(std::lround(factor * width)));
  }
  out.top = draw(top, seed, epoch, sample, picture.height - out.height + 1);
  out.left = draw(left, seed, epoch, sample, picture.width - out.width + 1);
  return out;
}

void augment_crop(const LabelledImage& prepared, Augment kind, std::uint64_t seed, std::int64_t epoch,
                  std::int64_t sample, int height, int width, std::uint8_t* image, std::uint8_t* labels) {
  const Window window = draw_window(prepared, kind, seed, epoch, sample, height, width);
  thread_local LabelledImage seen;  // fresh memory of this size costs page faults, each time
  cut_into(prepared.image, window, seen.image);
  cut_into(prepared.labels, window, seen.labels);
  augment(seen, kind, seed, epoch, sample, height, width, image, labels);
}

}  // namespace unet
