#include "apps/report/pictures.h"

#include <algorithm>
#include <cmath>

#include "apps/report/html.h"
#include "engine/data/resize.h"

namespace unet {
namespace {

constexpr int kSide = 300, kQuality = 80;

/// What it is multiplied by so as to fit into the page.
double scale_of(const Image& image) {
  return std::min(1.0, static_cast<double>(kSide) / std::max(image.width, image.height));
}
int scaled(int side, double scale) { return std::max(1, static_cast<int>(std::lround(side * scale))); }

}  // namespace

Image photo_in_page(const Image& photo) {
  const double scale = scale_of(photo);
  return resize_bilinear(photo, scaled(photo.width, scale), scaled(photo.height, scale));
}

std::vector<std::uint8_t> labels_in_page(const std::vector<std::uint8_t>& labels, const Image& photo) {
  Image image(photo.width, photo.height, 1);
  image.pixels = labels;
  const double scale = scale_of(photo);
  return resize_nearest(std::move(image), scaled(photo.width, scale), scaled(photo.height, scale)).pixels;
}

std::string picture_uri(const Image& image) { return jpeg_uri(encode_jpeg(image, kQuality)); }

}  // namespace unet
