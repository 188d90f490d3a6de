// How the pixels and channels of a tensor are cut into blocks of threads: by the shape alone, so that results do not
// depend on the device.
#pragma once

#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"

namespace unet::kernels::cuda {

inline constexpr int kBlockThreads = 256;

/// A block is `across` threads over the chunks of a pixel (neighbours in memory) times `down` threads over items
/// (pixels, windows); it handles per_block items, `down` of them at a time. grid.x counts runs of items, grid.y groups
/// of chunks.
struct Tile {
  int items = 0, per_block = 0;
  int chunks = 0;  // of an item
  Grid grid, block;
};

/// Items and chunks are counted in 32 bits, which spares a kernel registers and long divisions; elements are not.
/// Throws std::length_error for more than 2^31 - 2^16 items.
void require_countable(std::int64_t items);

/// per_thread: items that a thread treats together; a block gets a multiple of down * per_thread, up to `most` times
/// that while there are more than some 2000 blocks (or, where they leave partial sums, `blocks_wanted`).
Tile tile(std::int64_t items, std::int64_t chunks, int per_thread, int most = 8, int blocks_wanted = 2048);

/// The chunk of a pixel that a thread treats; past the end for threads that have none.
__device__ inline int own_chunk() { return static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x); }

/// The items of a block.
struct Range {
  int begin, end;
};
__device__ inline Range items_of(int block, int items, int per_block) {
  const int begin = block * per_block;
  return {begin, items - begin < per_block ? items : begin + per_block};
}

/// Whether all of the views that are there can be accessed N elements at a time.
template <std::same_as<ConstView>... Views>
bool in_chunks_of(int N, const Views&... views) {
  const auto one = [N](const ConstView& view) {
    const std::size_t bytes = static_cast<std::size_t>(N) * size_of(view.dtype);
    return !view || (view.c() % N == 0 && view.pitch % N == 0 &&
                     reinterpret_cast<std::uintptr_t>(view.data) % (bytes < 16 ? bytes : 16) == 0);
  };
  return (one(views) && ...);
}

/// Calls body(std::integral_constant<int, N>) with N = `lanes` or, where the views do not allow it, 1.
template <int lanes, class Body, class... Views>
void with_chunks(Body&& body, const Views&... views) {
  if (in_chunks_of(lanes, ConstView(views)...)) {
    body(std::integral_constant<int, lanes>{});
  } else {
    body(std::integral_constant<int, 1>{});
  }
}

/// Calls body(float{}) or body(bf16{}). Engine ops have checked the dtype before; anything else is std::logic_error.
template <class Body>
void dispatch(Dtype dtype, Body&& body) {
  if (dtype == Dtype::f32) return body(float{});
  if (dtype == Dtype::bf16) return body(bf16{});
  throw std::logic_error(std::string("no CUDA kernel for dtype ") + name_of(dtype));
}

}  // namespace unet::kernels::cuda
