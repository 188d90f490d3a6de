// What the schedules of winograd_forward.cpp and winograd_weights.cpp share: the chosen inner loops, the cutting of the
// workspace and the prefetching of pixels.
#pragma once

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/winograd.h"
#include "kernels/cpu/winograd.h"

namespace unet::kernels::cpu {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }
/// Even parts: part i of n is [share(items, i, n), share(items, i + 1, n)).
constexpr std::int64_t share(std::int64_t items, std::int64_t i, std::int64_t n) { return items * i / n; }
/// The size of equal chunks, none above `most`, that items fall into.
constexpr std::int64_t even_chunk(std::int64_t items, std::int64_t most) {
  return divide_up(items, divide_up(items, most));
}

/// Floats between two of the P products of a panel: one cache line more than the panel, so that the P streams of a
/// transform do not meet in one set of the first-level cache.
constexpr std::int64_t product_stride(std::int64_t rows, std::int64_t columns) { return rows * columns + 16; }

/// The inner loops of one instruction set for one tile size and one dtype of activations.
struct WinogradKernels {
  std::int64_t m;         // outputs of a tile along each side
  std::int64_t products;  // P = (m+2)^2
  std::int64_t element;   // bytes of one activation
  const WinogradTileLoops* tiles;
  const WinogradFilterLoops* filters[2];  // weights in f32, bf16
  const WinogradProductLoops* product;

  const WinogradFilterLoops& filter_loops(Dtype weights) const { return *filters[weights == Dtype::bf16]; }
  /// So many tiles of F(4x4), in tiles of this size whose transforms take as much memory.
  std::int64_t tiles_like(std::int64_t of_f4x4) const { return of_f4x4 * 36 / products; }
  WinogradGrid grid(const ConvShape& shape) const {
    return {shape.N, shape.H, shape.W, divide_up(shape.H, m), divide_up(shape.W, m)};
  }
};
WinogradKernels winograd_kernels(WinogradTile tile, Dtype activations, Isa set);

/// Cuts a workspace: the offset, in floats, of every piece taken, each on a cache line.
struct WorkspaceCut {
  std::int64_t floats = 0;

  std::int64_t take(std::int64_t count) {
    const std::int64_t offset = floats;
    floats += round_up(count, 16);
    return offset;
  }
  std::size_t bytes() const { return static_cast<std::size_t>(floats) * sizeof(float); }
};

inline WinogradPixels pixels_of(const ConstView& view) { return {view.data, view.c(), view.pitch}; }

/// Adds the pixels of tiles [begin, end) to the queue, from row `first_row` of each tile on (1 where the row above has
/// fetched the halo).
void add_pixels(PrefetchQueue& queue, const WinogradKernels& kernels, const WinogradGrid& grid, const ConstView& view,
                std::int64_t begin, std::int64_t end, std::int64_t first_row);

/// Spreads the queue over the later half of so many micro-kernels, ending a little before the last: what is fetched
/// earlier is displaced by the products' own operands before it is used.
void set_pace(PrefetchQueue& queue, std::int64_t micro_kernels);

/// Forward or backward data.
ConvPlan plan_winograd_forward(const ConvCase& c, const WinogradKernels& kernels);
ConvPlan plan_winograd_backward_weights(const ConvCase& c, const WinogradKernels& kernels);

}  // namespace unet::kernels::cpu
