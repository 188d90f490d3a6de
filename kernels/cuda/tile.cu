#include "kernels/cuda/tile.h"

#include <algorithm>
#include <bit>

namespace unet::kernels::cuda {

void require_countable(std::int64_t items) {
  if (items > (std::int64_t{1} << 31) - (std::int64_t{1} << 16)) {
    throw std::length_error("a tensor of " + std::to_string(items) + " pixels; CUDA kernels count fewer than 2^31");
  }
}

Tile tile(std::int64_t items, std::int64_t chunks, int per_thread, int most, int blocks_wanted) {
  require_countable(items);
  Tile out;
  out.items = static_cast<int>(items);
  out.chunks = static_cast<int>(chunks);
  const unsigned across = std::min(32u, std::bit_ceil(static_cast<unsigned>(std::max<std::int64_t>(1, chunks))));
  out.block = {across, kBlockThreads / across, 1};
  out.grid.y = (static_cast<unsigned>(chunks) + across - 1) / across;
  const std::int64_t step = static_cast<std::int64_t>(out.block.y) * per_thread;
  const std::int64_t steps = (items + step - 1) / step;
  const std::int64_t even = steps * out.grid.y / blocks_wanted;
  out.per_block = static_cast<int>(step * std::clamp<std::int64_t>(even, 1, most));
  out.grid.x = static_cast<unsigned>((items + out.per_block - 1) / out.per_block);
  return out;
}

}  // namespace unet::kernels::cuda
