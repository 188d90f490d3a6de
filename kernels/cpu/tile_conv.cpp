#include "kernels/cpu/tile_conv.h"

#include <algorithm>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace unet::kernels::cpu {
namespace {

constexpr std::int64_t kMostTaps = 9;
constexpr std::int64_t kChannels = 64;     // of x at once: nine taps of a panel of weights lie in L1
constexpr std::int64_t kPanels = 4;        // of 32 results, of one task
constexpr std::int64_t kTiles = 48;        // of 16 pixels, of one task
constexpr std::int64_t kPositions = 1600;  // of the copy of x
constexpr std::int64_t kSlack = 64;        // positions that are read beyond it
constexpr std::int64_t kMostImages = 16;
// Backward weights: kOut x kChannels results of every tap, summed over kPixels positions at a time.
constexpr std::int64_t kOut = 128;
constexpr std::int64_t kPixels = 512;
constexpr std::int64_t kSkew = 32;  // keeps rows out of each other's cache sets
constexpr std::int64_t kMinTasks = 32;

const TileConvLoops* stand_in = nullptr;

std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }
std::int64_t round_up(std::int64_t n, std::int64_t unit) { return ceil_div(n, unit) * unit; }

/// How a grid of pixels is cut into patches, by the shape alone, and how what they read of x is copied: planes_h *
/// planes_w planes (with a stride, the rows and columns that a tap shares with others) of plane_h x plane_w positions
/// for one image, side by side in a patch of several small ones: the images of a pixel, then those of its neighbour. So
/// little of what lies between rows of pixels, and nothing between images, is multiplied. What image n reads for pixel
/// (h, w) of the patch under a tap lies at (h*plane_w + w)*images + n + tap_at(tap).
struct Patches {
  const Gather<bf16>& g;
  std::int64_t N;
  std::int64_t planes_h, planes_w, planes;
  std::int64_t wide, high, images;  // a patch
  std::int64_t across, down, count;
  std::int64_t plane_h, plane_w;
  std::int64_t positions;  // of a copy

  Patches(const Gather<bf16>& gather, std::int64_t all) : g(gather), N(all) {
    const std::int64_t reach_h = (std::max<std::int64_t>(g.taps_h, 1) - 1) / g.step;
    const std::int64_t reach_w = (std::max<std::int64_t>(g.taps_w, 1) - 1) / g.step;
    planes_h = std::min(g.step, std::max<std::int64_t>(g.taps_h, 1));
    planes_w = std::min(g.step, std::max<std::int64_t>(g.taps_w, 1));
    planes = planes_h * planes_w;
    const std::int64_t most = planes == 1 ? 512 : planes <= 4 ? 256 : 64;
    across = ceil_div(g.grid_w, 128);
    wide = ceil_div(g.grid_w, across);
    plane_w = wide + reach_w;
    high = std::clamp<std::int64_t>(most / plane_w, 1, g.grid_h);
    down = ceil_div(g.grid_h, high);
    high = ceil_div(g.grid_h, down);
    plane_h = high + reach_h;
    const std::int64_t image = planes * plane_h * plane_w;
    const bool several = planes == 1 && across * down == 1;
    images = several ? std::clamp<std::int64_t>(most / image, 1, std::min(kMostImages, N)) : 1;
    images = ceil_div(N, ceil_div(N, images));
    positions = image * images;
    count = ceil_div(N, images) * down * across;
  }

  std::int64_t tap_at(std::int64_t tap) const {
    const std::int64_t i = tap / g.taps_w, j = tap % g.taps_w;
    return (((i % g.step * planes_w + j % g.step) * plane_h + i / g.step) * plane_w + j / g.step) * images;
  }
};

/// One of them.
struct Patch {
  const Patches& all;
  std::int64_t n0, n1, h0, h1, w0, w1;

  Patch(const Patches& patches, std::int64_t index) : all(patches) {
    w0 = index % all.across * all.wide;
    w1 = std::min(all.g.grid_w, w0 + all.wide);
    h0 = index / all.across % all.down * all.high;
    h1 = std::min(all.g.grid_h, h0 + all.high);
    n0 = index / (all.across * all.down) * all.images;
    n1 = std::min(all.N, n0 + all.images);
  }

  /// From the first pixel to the last, in positions.
  std::int64_t span() const { return ((h1 - h0 - 1) * all.plane_w + w1 - w0) * all.images; }

  /// `channels` of x from c on into `to`, a position every `pitch` values; zeros for images that there are not.
  void copy(const TileLoops& loops, std::int64_t c, std::int64_t channels, bf16* to, std::int64_t pitch) const {
    for (std::int64_t n = n0; n < n0 + all.images; ++n, to += pitch) {
      copy_image(loops, n, c, channels, to, pitch);
    }
  }

 private:
  void copy_image(const TileLoops& loops, std::int64_t n, std::int64_t c, std::int64_t channels, bf16* to,
                  std::int64_t pitch) const {
    const Gather<bf16>& g = all.g;
    const std::int64_t step = all.images * pitch;
    const auto zeros = [&](std::int64_t first, std::int64_t end) {
      for (std::int64_t at = first; at < end; ++at) std::fill_n(to + at * step, pitch, bf16{});
    };
    for (std::int64_t plane = 0; plane < all.planes; ++plane) {
      const std::int64_t w_first = w0 * g.step + g.w0 + plane % all.planes_w;
      // Positions [left, right) of a row lie in x.
      const std::int64_t left =
          std::clamp<std::int64_t>(ceil_div(std::max<std::int64_t>(-w_first, 0), g.step), 0, all.plane_w);
      const std::int64_t right =
          std::clamp(ceil_div(std::max<std::int64_t>(g.W - w_first, 0), g.step), left, all.plane_w);
      for (std::int64_t y = 0; y < all.plane_h; ++y, to += all.plane_w * step) {
        const std::int64_t h = (h0 + y) * g.step + g.h0 + plane / all.planes_w;
        if (n >= n1 || h < 0 || h >= g.H || left == right) {
          zeros(0, all.plane_w);
          continue;
        }
        zeros(0, left);
        loops.copy(g.src + ((n * g.H + h) * g.W + w_first + left * g.step) * g.pitch + c, g.step * g.pitch,
                   right - left, channels, to + left * step, step);
        zeros(right, all.plane_w);
      }
    }
  }
};

/// The tiles of a patch, 16 positions each, and which pixel each position is.
struct TileList {
  std::int64_t count = 0;
  std::int64_t at[kTiles];
  std::int64_t pixel[kTiles * kTileRows], y_at[kTiles * kTileRows];  // pixel < 0: none, a tile's or a row's end

  TileList(const Patch& patch, const GridProduct<bf16>& p) {
    const std::int64_t plane_w = patch.all.plane_w, images = patch.all.images;
    const std::int64_t high = patch.h1 - patch.h0, wide = patch.w1 - patch.w0;
    // Whole tiles in every row, or tiles that run on over the ends of rows.
    const std::int64_t lines = wide * images % kTileRows == 0 ? high : 1;
    const std::int64_t line = lines == high ? wide * images : patch.span();
    for (std::int64_t i = 0; i < lines; ++i) {
      std::int64_t h = i, w = 0, n = 0;
      for (std::int64_t q = 0; q < line; q += kTileRows) {
        at[count] = i * plane_w * images + q;
        for (std::int64_t to = count * kTileRows; to < (count + 1) * kTileRows; ++to) {
          const std::int64_t gh = patch.h0 + h, gw = patch.w0 + w, gn = patch.n0 + n;
          const bool is_one = h < high && w < wide && gn < patch.n1;
          pixel[to] = is_one ? (gn * p.rows.grid_h + gh) * p.rows.grid_w + gw : -1;
          y_at[to] = ((gn * p.out_H + gh * p.out_step + p.out_h) * p.out_W + gw * p.out_step + p.out_w) * p.out_pitch;
          if (++n == images) n = 0, ++w;
          if (w == plane_w) w = 0, ++h;
        }
        ++count;
      }
    }
  }
};

struct WeightsCut {
  Blocks out, channels, patches;

  WeightsCut(const ConvCase& c, const Patches& p)
      : out(cut(c.shape.Cout, kOut, c.shape.Cout)),
        channels(cut(c.shape.Cin, c.shape.taps() == 1 ? 2 * kChannels : kChannels, c.shape.Cin)),
        patches{} {
    patches = cut(p.count, 1, ceil_div(kMinTasks, out.count * channels.count));
  }
};

Gather<bf16> gather_x(const ConvCase& c, ConstView x) {
  const ConvShape& s = c.shape;
  return {x.as<bf16>(), s.H, s.W, s.Cin, x.pitch, c.Ho(), c.Wo(), c.spec.stride, s.Kh, s.Kw, -c.spec.pad, -c.spec.pad};
}

}  // namespace

const TileConvLoops* tile_conv_loops() {
  static const TileConvLoops of_cpu{avx512::tile_loops, avx512::pair_pack_loops, avx512::conv_pack_loops.of(float{})};
  if (stand_in != nullptr) return stand_in;
  return isa() == Isa::avx512_amx ? &of_cpu : nullptr;
}

void set_tile_conv_loops(const TileConvLoops* loops) { stand_in = loops; }

bool tile_conv_supports(const ConvCase& c) {
  return c.dtype == Dtype::bf16 && tile_conv_loops() != nullptr && c.shape.Kh <= 3 && c.shape.Kw <= 3;
}

std::size_t tile_conv_workspace(const ConvCase& c) {
  const ConvShape& s = c.shape;
  if (c.pass == ConvPass::backward_weights) {
    const Gather<bf16> x = gather_x(c, {});
    const std::int64_t parts = WeightsCut(c, Patches(x, s.N)).patches.count;
    return parts == 1 ? 0 : static_cast<std::size_t>(parts * s.Cout * s.taps() * s.Cin) * sizeof(float);
  }
  const bool forward = c.pass == ConvPass::forward;
  const std::int64_t summed = forward ? s.Cin : s.Cout, results = forward ? s.Cout : s.Cin;
  return static_cast<std::size_t>(round_up(results, kTileColumns) * s.taps() * round_up(summed, 32)) * sizeof(bf16);
}

void tile_product(const GridProduct<bf16>& p, void* workspace) {
  const TileConvLoops& loops = *tile_conv_loops();
  auto* packed = static_cast<BfPair*>(workspace);
  const std::int64_t taps = p.rows.taps_h * p.rows.taps_w, panels = ceil_div(p.cols, kTileColumns);
  const std::int64_t tap_pairs = round_up(p.rows.C, 32) / 2 * kTileColumns;  // of one panel
  parallel_for(panels * taps, [&](std::int64_t task) {
    const std::int64_t col = task / taps * kTileColumns, tap = task % taps;
    const float* w = p.w + p.tap0 + tap / p.rows.taps_w * p.tap_i + tap % p.rows.taps_w * p.tap_j + col * p.stride_col;
    loops.tile.weights(w, p.stride_c, p.stride_col, p.rows.C, std::min(kTileColumns, p.cols - col),
                       packed + task * tap_pairs);
  });

  const Patches patches(p.rows, p.N);
  const std::int64_t pitch = std::min(kChannels, round_up(p.rows.C, 32));
  const std::int64_t columns = ceil_div(panels, kPanels);
  parallel_for(patches.count * columns, [&](std::int64_t task) {
    alignas(64) bf16 x[(kPositions + kSlack) * kChannels];
    alignas(64) float sums[kPanels * kTiles * kTileSums];
    const Patch patch(patches, task / columns);
    TileList tiles(patch, p);
    const std::int64_t panel0 = task % columns * kPanels;
    std::int64_t a_tap[kMostTaps], a_tile[kTiles];
    for (std::int64_t tap = 0; tap < taps; ++tap) a_tap[tap] = patches.tap_at(tap) * pitch;
    for (std::int64_t t = 0; t < tiles.count; ++t) a_tile[t] = tiles.at[t] * pitch;
    TileProduct product{};
    product.a = x;
    product.a_tile = a_tile;
    product.a_tap = a_tap;
    product.a_row = pitch;
    product.b_panel = taps * tap_pairs;
    product.b_tap = tap_pairs;
    product.b_row = kTileColumns;
    product.panels = std::min(kPanels, panels - panel0);
    product.tiles = tiles.count;
    product.taps = taps;
    product.sums = sums;
    for (std::int64_t c = 0; c < p.rows.C; c += kChannels) {
      const std::int64_t channels = std::min(kChannels, p.rows.C - c);
      patch.copy(loops.tile, c, channels, x, pitch);
      product.b = packed + panel0 * product.b_panel + c / 2 * kTileColumns;
      product.steps = ceil_div(channels, 32);
      product.accumulate = c > 0;
      loops.tile.product(product);
    }
    for (std::int64_t panel = 0; panel < product.panels; ++panel) {
      const std::int64_t col = (panel0 + panel) * kTileColumns;
      loops.tile.store({sums + panel * tiles.count * kTileSums, tiles.pixel, tiles.y_at, tiles.count * kTileRows,
                        std::min(kTileColumns, p.cols - col), p.bias == nullptr ? nullptr : p.bias + col,
                        p.residual == nullptr ? nullptr : p.residual + col, p.residual_pitch, p.relu, p.out + col});
    }
  });
}

void tile_weights(const ConvCase& c, const ConvOperands& io, float* workspace) {
  const TileConvLoops& loops = *tile_conv_loops();
  const ConvShape& s = c.shape;
  const std::int64_t taps = s.taps(), size = s.Cout * taps * s.Cin;
  const Gather<bf16> x_rows = gather_x(c, io.x);
  const Patches patches(x_rows, s.N);
  const WeightsCut parts(c, patches);
  float* results = parts.patches.count == 1 ? io.dweights.as<float>() : workspace;
  const bf16* dy = io.dy.as<bf16>();
  parallel_for(parts.patches.count * parts.out.count * parts.channels.count, [&](std::int64_t task) {
    constexpr std::int64_t kRow = kPixels / 2 + kSkew;                   // pairs of a channel of dy
    alignas(64) bf16 x[(kPositions + kSlack) * kTileColumns];            // 32 channels
    alignas(64) BfPair pairs[2][(kPositions + kSlack) / 2 * kChannels];  // that begin at even, at odd positions
    alignas(64) bf16 dy_rows[kPixels * kOut];
    alignas(64) BfPair a[kOut * kRow];
    alignas(64) float sums[kMostTaps * (kChannels / kTileColumns) * (kOut / kTileRows) * kTileSums];
    const std::int64_t block = task % parts.channels.count, out = task / parts.channels.count % parts.out.count;
    const std::int64_t part = task / (parts.channels.count * parts.out.count);
    const std::int64_t c0 = parts.channels.begin(block), channels = parts.channels.end(block) - c0;
    const std::int64_t co0 = parts.out.begin(out), outs = parts.out.end(out) - co0;
    const std::int64_t panels = ceil_div(channels, kTileColumns), out_pitch = round_up(outs, 32);
    const std::int64_t rows = round_up(patches.positions, 2) + kSlack;  // positions of a panel
    std::int64_t a_tile[kOut / kTileRows], a_row_of_pixels[kPixels / 32];
    TileProduct product{};
    product.a = reinterpret_cast<const bf16*>(a);
    product.a_tile = a_tile;
    product.a_tap = a_row_of_pixels;
    product.a_row = 2 * kRow;
    product.b_panel = rows / 2 * kTileColumns;
    product.b_row = kTileColumns;
    product.panels = panels;
    product.tiles = ceil_div(outs, kTileRows);
    for (std::int64_t t = 0; t < product.tiles; ++t) a_tile[t] = t * kTileRows * product.a_row;
    for (std::int64_t index = parts.patches.begin(part); index < parts.patches.end(part); ++index) {
      const Patch patch(patches, index);
      const std::int64_t copied = patches.positions, count = (copied + kSlack) / 2 - 1;
      for (std::int64_t panel = 0; panel < panels; ++panel) {
        const std::int64_t first = panel * kTileColumns, to = panel * product.b_panel;
        patch.copy(loops.tile, c0 + first, std::min(kTileColumns, channels - first), x, kTileColumns);
        std::fill_n(x + copied * kTileColumns, kSlack * kTileColumns, bf16{});
        loops.pair.interleave(x, kTileColumns, count, kTileColumns, pairs[0] + to);
        if (taps == 1 || patches.images % 2 == 0) continue;  // no tap begins at an odd one
        loops.pair.interleave(x + kTileColumns, kTileColumns, count, kTileColumns, pairs[1] + to);
      }
      // Whole steps of 32 positions in every row of pixels: then dy is packed without what lies between rows of x, and
      // a row is a tap of the product. Else what is no pixel counts as zero.
      const std::int64_t high = patch.h1 - patch.h0, wide = patch.w1 - patch.w0;
      const std::int64_t pixels = wide * patches.images, row = patches.plane_w * patches.images;
      const bool dense = pixels % 32 == 0 && row % 2 == 0;
      const std::int64_t dy_row = dense ? pixels : row, summed = dense ? high * pixels : round_up(patch.span(), 32);
      for (std::int64_t h = 0; h < high; ++h) {
        bf16* to = dy_rows + h * dy_row * out_pitch;
        for (std::int64_t n = patch.n0; n < patch.n0 + patches.images; ++n, to += out_pitch) {
          const bf16* from = dy + ((n * c.Ho() + patch.h0 + h) * c.Wo() + patch.w0) * io.dy.pitch + co0;
          const std::int64_t there = n < patch.n1 ? wide : 0;
          loops.tile.copy(from, io.dy.pitch, there, outs, to, patches.images * out_pitch);
          for (std::int64_t w = there; w < wide; ++w) {
            std::fill_n(to + w * patches.images * out_pitch, out_pitch, bf16{});
          }
        }
        const std::int64_t end = h * dy_row + pixels, next = h + 1 < high ? (h + 1) * dy_row : summed;
        std::fill_n(dy_rows + end * out_pitch, (next - end) * out_pitch, bf16{});
      }
      loops.tile.transpose(dy_rows, out_pitch, summed / 2, product.tiles * kTileRows, a, kRow);
      product.taps = dense ? high : 1;
      for (std::int64_t h = 0; h < product.taps; ++h) a_row_of_pixels[h] = h * pixels;
      product.b_tap = row / 2 * kTileColumns;
      product.steps = summed / 32 / product.taps;
      product.accumulate = index > parts.patches.begin(part);
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        const std::int64_t at = patches.tap_at(tap);
        product.b = pairs[at % 2] + at / 2 * kTileColumns;
        product.sums = sums + tap * product.panels * product.tiles * kTileSums;
        loops.tile.product(product);
      }
    }
    for (std::int64_t i = 0; i < outs; ++i) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        for (std::int64_t panel = 0; panel < product.panels; ++panel) {
          const std::int64_t from = ((tap * product.panels + panel) * product.tiles * kTileRows + i) * kTileColumns;
          const std::int64_t count = std::min(kTileColumns, channels - panel * kTileColumns);
          float* to = results + part * size + ((co0 + i) * taps + tap) * s.Cin + c0 + panel * kTileColumns;
          if (count > 0) std::copy_n(sums + from, count, to);
        }
      }
    }
  });
  if (parts.patches.count == 1) return;
  const Blocks blocks = cut(size, 1024);
  parallel_for(blocks.count, [&](std::int64_t i) {
    loops.pack.add_partials(workspace + blocks.begin(i), size, parts.patches.count, blocks.end(i) - blocks.begin(i),
                            io.dweights.as<float>() + blocks.begin(i));
  });
}

}  // namespace unet::kernels::cpu
