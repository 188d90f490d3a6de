// The partition of kernels that treat every element alike: blocks of pixels or, where all operands are dense, blocks of
// elements, so that few channels make no short loops.
#pragma once

#include "kernels/cpu/parallel.h"
#include "kernels/view.h"

namespace unet::kernels::cpu {

/// `pixels` pixels of `channels` channels each, from pixel `first` on.
struct Stretch {
  std::int64_t first, pixels, channels;
};

/// Elements in a block.
inline constexpr std::int64_t kStretchElements = std::int64_t{1} << 16;

/// What to multiply Stretch::first with: a dense operand's elements count as pixels of one channel.
inline std::int64_t stretch_pitch(const Extent& view, bool all_dense) { return all_dense ? 1 : view.pitch; }

/// Calls body(Stretch) on several threads for all of `shape`.
template <class Body>
void for_stretches(const Extent& shape, bool all_dense, Body&& body) {
  const std::int64_t channels = std::max<std::int64_t>(1, all_dense ? 1 : shape.c());
  const std::int64_t pixels = all_dense ? shape.size() : shape.pixels();
  const Blocks blocks = cut(pixels, (kStretchElements + channels - 1) / channels, 4096);
  parallel_for(blocks.count, [&](std::int64_t block) {
    const std::int64_t count = blocks.end(block) - blocks.begin(block);
    body(all_dense ? Stretch{blocks.begin(block), 1, count} : Stretch{blocks.begin(block), count, shape.c()});
  });
}

}  // namespace unet::kernels::cpu
