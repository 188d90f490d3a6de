// Winograd transforms of activations. A vector holds the same element of one tile for `lanes` channels, so both
// one-dimensional transforms are plain arithmetic between registers: columns first, then rows.
#include "kernels/cpu/isa/winograd.h"
#include "kernels/cpu/isa/winograd_points.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

/// Where a tile's first output lies.
struct Corner {
  std::int64_t n, h, w;
};

template <int M>
[[gnu::always_inline]] inline Corner corner_of(const WinogradGrid& grid, std::int64_t tile) {
  return {tile / (grid.rows * grid.columns), tile / grid.columns % grid.rows * M, tile % grid.columns * M};
}

/// Loads channels [0, count) of pixel (i, j) of the window at (h0, w0); zero outside the image.
template <class T>
struct Window {
  const WinogradGrid& grid;
  const T* data;
  std::int64_t h0, w0, pitch;
  int count;

  [[gnu::always_inline]] const T* at(int i, int j) const { return data + (i * grid.W + j) * pitch; }
  [[gnu::always_inline]] bool has(int i, int j) const {
    return h0 + i >= 0 && h0 + i < grid.H && w0 + j >= 0 && w0 + j < grid.W;
  }
  /// True if all of its size x size pixels lie in the image and all lanes are channels.
  bool inside(int size) const {
    return h0 >= 0 && w0 >= 0 && h0 + size <= grid.H && w0 + size <= grid.W && count >= lanes;
  }
  template <bool checked>
  [[gnu::always_inline]] Vec pixel(int i, int j) const {
    if constexpr (!checked) return load(at(i, j));
    return has(i, j) ? load(at(i, j), count) : Vec{};
  }
};

/// Half of the rows of B^T d B: one half of the intermediate values fits into the registers, all of them do not.
template <int M, int half, bool checked, class T>
[[gnu::always_inline]] inline void input_half(const Window<T>& window, float* v, std::int64_t product_stride) {
  constexpr int size = M + 2, rows = size / 2;
  Vec columns[rows][size];
#pragma GCC unroll 6
  for (int j = 0; j < size; ++j) {
    Vec d[size], o[rows];
#pragma GCC unroll 6
    for (int i = 0; i < size; ++i) d[i] = window.template pixel<checked>(i, j);
    Points<M>::template input<half>(d, o);
#pragma GCC unroll 3
    for (int i = 0; i < rows; ++i) columns[i][j] = o[i];
  }
#pragma GCC unroll 3
  for (int i = 0; i < rows; ++i) {
    Vec o[size];
    Points<M>::template input<0>(columns[i], o);
    Points<M>::template input<1>(columns[i], o + rows);
#pragma GCC unroll 6
    for (int j = 0; j < size; ++j) store(v + ((half * rows + i) * size + j) * product_stride, o[j]);
  }
}
template <int M, bool checked, class T>
[[gnu::always_inline]] inline void input_tile(const Window<T>& window, float* v, std::int64_t product_stride) {
  input_half<M, 0, checked>(window, v, product_stride);
  input_half<M, 1, checked>(window, v, product_stride);
}

template <int M, bool checked, class T>
[[gnu::always_inline]] inline void output_gradient_tile(const Window<T>& window, float* v,
                                                        std::int64_t product_stride) {
  constexpr int size = M + 2;
  Vec columns[size][M];
#pragma GCC unroll 4
  for (int j = 0; j < M; ++j) {
    Vec d[M], o[size];
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) d[i] = window.template pixel<checked>(i, j);
    Points<M>::output_gradient(d, o);
#pragma GCC unroll 6
    for (int i = 0; i < size; ++i) columns[i][j] = o[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < size; ++i) {
    Vec o[size];
    Points<M>::output_gradient(columns[i], o);
#pragma GCC unroll 6
    for (int j = 0; j < size; ++j) store(v + (i * size + j) * product_stride, o[j]);
  }
}

enum class Write { plain, stream, checked };

template <int M, Write how, bool epilogue, class T>
[[gnu::always_inline]] inline void output_tile(const WinogradOutput& output, const float* q, std::int64_t channel, T* y,
                                               std::int64_t row_pitch, int rows, int columns, int count) {
  constexpr int size = M + 2;
  Vec half[M][size];
#pragma GCC unroll 6
  for (int j = 0; j < size; ++j) {
    Vec d[size], o[M];
#pragma GCC unroll 6
    for (int i = 0; i < size; ++i) d[i] = load(q + (i * size + j) * output.product_stride);
    Points<M>::output(d, o);
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) half[i][j] = o[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
    Vec o[M];
    Points<M>::output(half[i], o);
#pragma GCC unroll 4
    for (int j = 0; j < M; ++j) {
      if constexpr (epilogue) {
        if (output.bias != nullptr) o[j] = o[j] + load(output.bias + channel);
        if (output.relu) o[j] = relu(o[j]);
      }
      T* p = y + i * row_pitch + j * output.pitch;
      if constexpr (how == Write::stream) stream(p, o[j]);
      if constexpr (how == Write::plain) store(p, o[j]);
      if constexpr (how == Write::checked) {
        if (i < rows && j < columns) store(p, o[j], count);
      }
    }
  }
}

template <int M, bool epilogue, class T>
[[gnu::always_inline]] inline void output_tiles(const WinogradGrid& grid, const WinogradTiles& tiles,
                                                const WinogradOutput& output) {
  const std::int64_t row_pitch = grid.W * output.pitch;
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t) {
    const Corner corner = corner_of<M>(grid, t);
    const bool inside = corner.h + M <= grid.H && corner.w + M <= grid.W;
    const int rows = static_cast<int>(grid.H - corner.h), columns = static_cast<int>(grid.W - corner.w);
    T* y = static_cast<T*>(output.data) + ((corner.n * grid.H + corner.h) * grid.W + corner.w) * output.pitch;
    const float* q = output.products + (tiles.slot + t - tiles.begin) * output.row_stride;
    for (std::int64_t c = 0; c < output.channels; c += lanes) {
      const int count = static_cast<int>(output.channels - c);
      if (!inside || count < lanes) {
        output_tile<M, Write::checked, epilogue>(output, q + c, c, y + c, row_pitch, rows, columns, count);
      } else if (output.stream) {
        output_tile<M, Write::stream, epilogue>(output, q + c, c, y + c, row_pitch, rows, columns, count);
      } else {
        output_tile<M, Write::plain, epilogue>(output, q + c, c, y + c, row_pitch, rows, columns, count);
      }
    }
  }
}

/// Calls tile(window, destination) for every tile and every vector of channels. The channels that pad the last group
/// are zero in every lane: their windows have count <= 0.
template <int M, int halo, class T, class Tile>
[[gnu::always_inline]] inline void for_each_window(const WinogradGrid& grid, const WinogradTiles& tiles,
                                                   const WinogradPixels& x, const WinogradPanels& v, Tile&& tile) {
  const std::int64_t padded = (x.channels + kWinogradChannelGroup - 1) / kWinogradChannelGroup * kWinogradChannelGroup;
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t) {
    const Corner corner = corner_of<M>(grid, t);
    const std::int64_t h0 = corner.h - halo, w0 = corner.w - halo;
    const T* pixel = static_cast<const T*>(x.data) + ((corner.n * grid.H + h0) * grid.W + w0) * x.pitch;
    float* row = v.data + (tiles.slot + t - tiles.begin) * v.block;
    for (std::int64_t c0 = 0; c0 < padded; c0 += v.block, row += v.block_stride) {
      const std::int64_t end = c0 + v.block < padded ? v.block : padded - c0;
      for (std::int64_t c = 0; c < end; c += lanes) {
        const std::int64_t left = x.channels - c0 - c;
        tile(Window<T>{grid, pixel + c0 + c, h0, w0, x.pitch, static_cast<int>(left < 0 ? 0 : left)}, row + c);
      }
    }
  }
}

template <int M, class T>
void transform_input(const WinogradGrid& grid, const WinogradTiles& tiles, const WinogradPixels& x,
                     const WinogradPanels& v) {
  for_each_window<M, 1, T>(
      grid, tiles, x, v, [&](const Window<T>& window, float* to) __attribute__((always_inline)) {
        if (window.inside(M + 2)) {
          input_tile<M, false>(window, to, v.product_stride);
        } else {
          input_tile<M, true>(window, to, v.product_stride);
        }
      });
}

template <int M, class T>
void transform_output_gradient(const WinogradGrid& grid, const WinogradTiles& tiles, const WinogradPixels& dy,
                               const WinogradPanels& v) {
  for_each_window<M, 0, T>(
      grid, tiles, dy, v, [&](const Window<T>& window, float* to) __attribute__((always_inline)) {
        if (window.inside(M)) {
          output_gradient_tile<M, false>(window, to, v.product_stride);
        } else {
          output_gradient_tile<M, true>(window, to, v.product_stride);
        }
      });
}

template <int M, class T>
void transform_output(const WinogradGrid& grid, const WinogradTiles& tiles, const WinogradOutput& output) {
  if (output.bias != nullptr || output.relu) {
    output_tiles<M, true, T>(grid, tiles, output);
  } else {
    output_tiles<M, false, T>(grid, tiles, output);
  }
}

template <int M, class T>
constexpr WinogradTileLoops kLoops{transform_input<M, T>, transform_output_gradient<M, T>, transform_output<M, T>};

}  // namespace

extern const WinogradTileLoops winograd_tiles[2][2] = {{kLoops<2, float>, kLoops<2, bf16>},
                                                       {kLoops<4, float>, kLoops<4, bf16>}};

}  // namespace unet::kernels::cpu::UNET_ISA
