#include "apps/run/predictor.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "apps/run/full_size.h"
#include "engine/data/resize.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

constexpr std::array kScales{0.75, 1.0, 1.25};

int scaled(int side, double scale) {
  constexpr int kMultiple = 32;
  return std::max(1, static_cast<int>(std::lround(scale * side / kMultiple))) * kMultiple;
}

/// Left to right; values [height,width,channels].
template <class Value>
std::vector<Value> mirrored(const std::vector<Value>& values, int height, int width, std::int64_t channels) {
  std::vector<Value> out(values.size());
  auto from = values.begin();
  for (int y = 0; y < height; ++y) {
    for (int x = width - 1; x >= 0; --x, from += channels) {
      std::copy_n(from, channels, out.begin() + (static_cast<std::int64_t>(y) * width + x) * channels);
    }
  }
  return out;
}

void add(std::vector<float>& sum, const std::vector<float>& more) {
  sum.resize(more.size());
  for (std::size_t i = 0; i < more.size(); ++i) sum[i] += more[i];
}

}  // namespace

const char* name_of(Tta tta) { return tta == Tta::none ? "none" : tta == Tta::flip ? "flip" : "flip+scale"; }

std::vector<float> Predictor::of_view(const Image& view, const std::string& of) {
  const Tensor pixels =
      Tensor::copy_of({1, view.height, view.width, 3}, Dtype::u8, view.pixels.data(), model_.device());
  Tape tape(Tape::Mode::inference);
  if (check_ != nullptr) check_->watch(tape);
  std::vector<float> values = host_values(models::logits(model_, tape, pixels).value);
  if (check_ != nullptr) (*check_)(pixels, values, of);
  const kernels::cpu::Blocks blocks = kernels::cpu::cut(std::int64_t{view.height} * view.width, 4096);
  kernels::cpu::parallel_for(blocks.count, [&](std::int64_t block) {
    const std::int64_t begin = blocks.begin(block);
    softmax(values.data() + begin * classes(), blocks.end(block) - begin, classes());
  });
  return values;
}

/// The sum over the image and its mirror image.
std::vector<float> Predictor::of_both_ways(const Image& image, const std::string& of) {
  std::vector<float> sum = of_view(image, of);
  Image mirror(image.width, image.height, 3);
  mirror.pixels = mirrored(image.pixels, image.height, image.width, 3);
  add(sum, mirrored(of_view(mirror, of), image.height, image.width, classes()));
  return sum;
}

std::vector<float> Predictor::operator()(const Image& image, const std::string& of) {
  if (tta_ == Tta::none) return of_view(image, of);
  std::vector<float> sum;
  int views = 0;
  for (const double scale : kScales) {
    if (scale != 1 && tta_ != Tta::flip_scale) continue;
    views += 2;
    if (scale == 1) {
      add(sum, of_both_ways(image, of));
      continue;
    }
    const Image view = resize_bilinear(image, scaled(image.width, scale), scaled(image.height, scale));
    add(sum,
        map_at_size(of_both_ways(view, of).data(), {view.height, view.width, classes()}, image.height, image.width));
  }
  for (float& value : sum) value /= static_cast<float>(views);
  return sum;
}

}  // namespace unet
