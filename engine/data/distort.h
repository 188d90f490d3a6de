// What makes a photograph worse without moving anything in it: blur, noise, a patch cut out.
#pragma once

#include <cstdint>
#include <vector>

namespace unet {

/// Red, green and blue in 0..255, before they are rounded; the fourth lane is idle.
using Color = float __attribute__((vector_size(16)));

/// Gaussian blur of the picture [height, width] by `sigma` > 0 pixels, cut off at three of them, repeated at the edges.
void blur(std::vector<Color>& colors, int height, int width, double sigma);

/// Adds to every channel of every pixel a number of its own, of mean 0 and this deviation: a sum of four uniform ones
/// (Irwin-Hall), which is as good as normal here. A pure function of `key` and the position.
void add_noise(std::vector<Color>& colors, double deviation, std::uint64_t key);

struct Patch {
  int left = 0, top = 0, width = 0, height = 0;
};

/// Cutout (DeVries & Taylor 2017): makes the patch gray. What cannot be seen is not asked for: its labels are ignored.
void cut_out(const Patch& patch, int width, std::uint8_t* image, std::uint8_t* labels);

}  // namespace unet
