#include <optional>

#include "engine/io/codec.h"
#include "engine/io/image.h"
#include "tests/fuzz/targets.h"

namespace unet::fuzz {
namespace {

constexpr std::int64_t most_pixels = 4'000'000;

bool is_large(Bytes bytes) {
  for (const auto head_of : {codec::png_head, codec::jpeg_head}) {
    ImageSize size;
    if (accepted([&] { size = head_of(bytes, "file").size; }) && std::int64_t{size.width} * size.height > most_pixels) {
      return true;
    }
  }
  return false;
}

void check_pixels(const Image& image) {
  require(image.width >= 1 && image.height >= 1 && image.width <= kMaxImageSide && image.height <= kMaxImageSide,
          "sides are within the limits");
  require(image.channels >= 1 && image.channels <= 4, "an image has 1 to 4 channels");
  require(image.pixels.size() == static_cast<std::size_t>(image.width) * image.height * image.channels,
          "the pixels are all there");
}

}  // namespace

void fuzz_image(Bytes bytes) {
  if (is_large(bytes)) return;
  Image image, mask;
  if (accepted([&] { image = decode_image(bytes, "file"); })) {
    check_pixels(image);
    const MemoryFile file(bytes);
    const ImageSize size =
        read_image_head(file.path()).seen_size(Exif::apply);  // an Error here is a finding: the image is a sound one
    require(size == ImageSize{image.width, image.height}, "the head tells the size of the pixels");
    require(to_rgb(image).channels == 3, "every image can be made RGB");
  }
  if (accepted([&] { mask = decode_mask(bytes, "file"); })) {
    check_pixels(mask);
    require(mask.channels == 1 || mask.channels == 3, "a mask has values or colours");
    require(mask.width == image.width && mask.height == image.height, "a mask is an image of the same size");
  }
}

}  // namespace unet::fuzz
