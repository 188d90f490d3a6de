// Inner loops of the Winograd convolutions: what kernels/cpu/winograd_*.cpp cuts into blocks and spreads over threads.
//
// With P = (M+2)^2 products per tile, everything between the transforms is P independent matrix products. Layouts, in
// floats (the stride between products is padded by a cache line, so that the P streams of a transform fall into
// different sets of the first-level cache):
//
//   V  [channel block][P][tile][channel in block]     transformed inputs, and transformed output gradients
//   U  [Cin block of x][P][Cin in block][Cout block]  transformed filters of one block of output channels
//   Q  [P][tile][Cout block]                          products
//   dU [P][Cout in block][Cin in block]               products of the filter gradient
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

/// Channels are padded to whole groups inside the workspace: every vector width divides it.
inline constexpr std::int64_t kWinogradChannelGroup = 16;

/// The tiles of a batch: tile t covers m x m outputs; t runs over image, tile row, tile column.
struct WinogradGrid {
  std::int64_t N, H, W;        // pixels
  std::int64_t rows, columns;  // tiles of one image
  std::int64_t tiles() const { return N * rows * columns; }
};

/// The tiles [begin, end) of a grid; `slot` is the row of the panels that tile `begin` has.
struct WinogradTiles {
  std::int64_t begin, end, slot;
};

/// [N,H,W,channels] in memory, of the table's dtype.
struct WinogradPixels {
  const void* data;
  std::int64_t channels, pitch;
};

/// A row of channel blocks: V above.
struct WinogradPanels {
  float* data;
  std::int64_t block;           // channels of a block
  std::int64_t product_stride;  // floats from one of the P products to the next
  std::int64_t block_stride;
};

/// Where the transformed tiles of one block of output channels go.
struct WinogradOutput {
  const float* products;  // Q
  std::int64_t product_stride, row_stride;
  void* data;  // first channel of the block in y
  std::int64_t channels, pitch;
  const float* scale;    // of the block, padded with zeros to a whole group; or null
  const float* bias;     // likewise
  const void* residual;  // first channel of the block, of y's dtype and shape; or null
  std::int64_t residual_pitch;
  bool relu;
  bool stream;  // write past the caches: f32, pitch and address whole cache lines, channels whole vectors
};

/// A block of transformed filters. Weights are [Cout,3,3,Cin] in memory; `rotated` swaps the roles of Cin and Cout and
/// turns the taps by 180 degrees: backward data is a forward convolution with those.
struct WinogradFilterBlock {
  const void* weights;
  std::int64_t Cout, Cin;
  bool rotated;
  std::int64_t out_begin, out_count;  // channels of the block, whole groups; those past the end become zero
  std::int64_t in_begin, in_count;
  float* u;
  std::int64_t product_stride, row_stride;
};

/// A block of filter gradients, from dU to dweights [Cout,3,3,Cin].
struct WinogradFilterGradient {
  const float* du;
  std::int64_t product_stride, row_stride;
  void* dweights;
  std::int64_t Cout, Cin;
  std::int64_t out_begin, out_count, in_begin, in_count;
  bool stream;  // f32, dweights 64-byte aligned, Cin whole vectors
};

/// Elements [begin, end) of the sum of `count` arrays, taken in order.
struct WinogradSum {
  const float* parts;
  std::int64_t count, part_stride;
  std::int64_t begin, end;
  void* to;
};

/// Memory that will be wanted soon: `rows` runs of `row_bytes`.
struct PrefetchArea {
  const char* data;
  std::int64_t row_bytes, row_stride, rows;
};

/// Areas that are fetched into the second-level cache behind the multiplications, a few lines per micro-kernel, so that
/// the next chunk's pixels (or the next block's weights) are there when their transform begins.
struct PrefetchQueue {
  PrefetchArea area[6];  // a chunk of tiles is up to three rectangles of pixels, for x and for dy
  int areas = 0;
  std::int64_t wait = 0;  // micro-kernels before the first line
  std::int64_t lines_per_call = 0;
  int current = 0;
  std::int64_t row = 0, offset = 0;
};

/// c[rows][columns] (+)= a[rows][depth] * b[depth][columns]; columns whole vectors.
struct WinogradProduct {
  const float* a;
  std::int64_t a_row, a_depth;  // strides
  const float* b;
  std::int64_t b_depth;
  float* c;
  std::int64_t c_row;
  std::int64_t rows, columns, depth;
  bool accumulate;
  const float* next[2];  // operands of the product that follows: contiguous, fetched one line per depth step
  std::int64_t next_lines[2];
};

/// By storage type of the activations, for one tile size.
struct WinogradTileLoops {
  /// V = B^T d B of the (M+2)x(M+2) inputs around every tile, zero outside the image.
  void (*input)(const WinogradGrid&, const WinogradTiles&, const WinogradPixels&, const WinogradPanels&);
  /// A dy A^T of the MxM gradients of every tile, zero outside the image.
  void (*output_gradient)(const WinogradGrid&, const WinogradTiles&, const WinogradPixels&, const WinogradPanels&);
  /// y = act(scale * A^T Q A + bias + residual).
  void (*output)(const WinogradGrid&, const WinogradTiles&, const WinogradOutput&);
};

/// By storage type of the weights, for one tile size.
struct WinogradFilterLoops {
  void (*filter)(const WinogradFilterBlock&);       // U = G g G^T
  void (*gradient)(const WinogradFilterGradient&);  // dg = G^T dU G
  void (*sum)(const WinogradSum&);
};

struct WinogradProductLoops {
  void (*multiply)(const WinogradProduct&, PrefetchQueue&);
  /// Micro-kernels that one product takes: the pace of a PrefetchQueue.
  std::int64_t (*micro_kernels)(std::int64_t rows, std::int64_t columns);
  void (*fence)();  // after streamed writes, before another thread reads them
};

// Indexed [F(2x2), F(4x4), F(6x6)][f32, bf16].
namespace baseline {
extern const WinogradTileLoops winograd_tiles[3][2];
extern const WinogradFilterLoops winograd_filters[3][2];
extern const WinogradProductLoops winograd_products;
}  // namespace baseline
namespace avx2 {
extern const WinogradTileLoops winograd_tiles[3][2];
extern const WinogradFilterLoops winograd_filters[3][2];
extern const WinogradProductLoops winograd_products;
}  // namespace avx2
namespace avx512 {
extern const WinogradTileLoops winograd_tiles[3][2];
extern const WinogradFilterLoops winograd_filters[3][2];
extern const WinogradProductLoops winograd_products;
}  // namespace avx512

}  // namespace unet::kernels::cpu
