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

/// The pixels that a transform reads, `lanes` channels of each: pixel (i, j) at data + i*row + j*pixel.
template <class T>
struct Window {
  const T* data;
  std::int64_t row, pixel;
};

/// x, of whose origin the compiler knows nothing: it would otherwise compute the addresses of a window's pixels one by
/// one and keep them on the stack, where a few pointers and a common offset fit into the registers.
[[gnu::always_inline]] inline std::int64_t opaque(std::int64_t x) {
  asm("" : "+r"(x));
  return x;
}

/// Calls use(j, column) for the columns j of `size` x `count` pixels, from left to right.
template <int size, int count, class T, class Use>
[[gnu::always_inline]] inline void for_each_column(const Window<T>& window, Use&& use) {
  const T* row[size];
#pragma GCC unroll 8
  for (int i = 0; i < size; ++i) row[i] = window.data + i * window.row;
  std::int64_t offset = 0;
#pragma GCC unroll 8
  for (int j = 0; j < count; ++j) {
    Vec column[size];
#pragma GCC unroll 8
    for (int i = 0; i < size; ++i) column[i] = load(row[i] + offset);
    use(j, column);
    offset = opaque(offset + window.pixel);
  }
}

/// Half of the rows of B^T d B: one half of the intermediate values fits into the registers, all of them do not.
template <int M, int half, class T>
[[gnu::always_inline]] inline void input_half(const Window<T>& window, float* v, std::int64_t product_stride) {
  constexpr int size = M + 2, rows = size / 2;
  Vec columns[rows][size];
  for_each_column<size, size>(
      window, [&](int j, const Vec* d) __attribute__((always_inline)) {
        Vec o[rows];
        Points<M>::template input<half>(d, o);
#pragma GCC unroll 3
        for (int i = 0; i < rows; ++i) columns[i][j] = o[i];
      });
#pragma GCC unroll 3
  for (int i = 0; i < rows; ++i) {
    Vec o[size];
    Points<M>::template input<0>(columns[i], o);
    Points<M>::template input<1>(columns[i], o + rows);
#pragma GCC unroll 8
    for (int j = 0; j < size; ++j) store(v + ((half * rows + i) * size + j) * product_stride, o[j]);
  }
}

/// A transform of `from` values to `to`, applied to the columns of a window of `from` x `from` pixels and then to the
/// rows: the (to * to) products of one tile.
template <int from, int to, class T, class Transform>
[[gnu::always_inline]] inline void both_ways(const Window<T>& window, float* v, std::int64_t product_stride,
                                             Transform&& transform) {
  Vec columns[to][from];
  for_each_column<from, from>(
      window, [&](int j, const Vec* d) __attribute__((always_inline)) {
        Vec o[to];
        transform(d, o);
#pragma GCC unroll 8
        for (int i = 0; i < to; ++i) columns[i][j] = o[i];
      });
#pragma GCC unroll 8
  for (int i = 0; i < to; ++i) {
    Vec o[to];
    transform(columns[i], o);
#pragma GCC unroll 8
    for (int j = 0; j < to; ++j) store(v + (i * to + j) * product_stride, o[j]);
  }
}

/// V of one tile, `lanes` channels.
template <int M, class T>
[[gnu::noinline]] void input_tile(const Window<T>& window, float* v, std::int64_t product_stride) {
  if constexpr (M == 6) {  // not even half of the intermediate values would fit: they go by way of the stack
    both_ways<8, 8>(window, v, product_stride, Points<6>::input);
  } else {
    input_half<M, 0>(window, v, product_stride);
    input_half<M, 1>(window, v, product_stride);
  }
}

/// A dy A^T of one tile, `lanes` channels.
template <int M, class T>
[[gnu::noinline]] void output_gradient_tile(const Window<T>& window, float* v, std::int64_t product_stride) {
  both_ways<M, M + 2>(window, v, product_stride, Points<M>::output_gradient);
}

struct Range {
  int begin, end;
};

/// The first `count` lanes of the pixels (i, j) of a window with i in `rows` and j in `columns`, zeros elsewhere.
template <int size, class T>
[[gnu::noinline]] void copy_window(const T* from, std::int64_t row_pitch, std::int64_t pitch, Range rows, Range columns,
                                   int count, T* patch) {
  if (count < 0) count = 0;
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j, patch += lanes) {
      const bool there = i >= rows.begin && i < rows.end && j >= columns.begin && j < columns.end;
      const T* p = from + i * row_pitch + j * pitch;
      if (there && count >= lanes) {
        __builtin_memcpy(patch, p, lanes * sizeof(T));
      } else {
        __builtin_memset(patch, 0, lanes * sizeof(T));
        if (there) __builtin_memcpy(patch, p, static_cast<std::size_t>(count) * sizeof(T));
      }
    }
  }
}

/// The way back: the first `count` lanes of a patch of size x size pixels, of `rows` and `columns` of them.
template <int size, class T>
[[gnu::noinline]] void copy_back(const T* patch, int rows, int columns, int count, T* to, std::int64_t row_pitch,
                                 std::int64_t pitch) {
  if (count > lanes) count = lanes;
  for (int i = 0; i < size && i < rows; ++i) {
    for (int j = 0; j < size && j < columns; ++j) {
      __builtin_memcpy(to + i * row_pitch + j * pitch, patch + (i * size + j) * lanes,
                       static_cast<std::size_t>(count) * sizeof(T));
    }
  }
}

enum class Epilogue { none, channels, residual };  // scale, bias and ReLU; these and a residual
/// stream_line can go past the caches.
template <class T>
inline constexpr bool kStreams = sizeof(T) * lanes == 64;

/// The outputs of one tile, `lanes` channels from `channel` on: pixel (i, j) to y + i*row + j*pixel. Added to them with
/// Epilogue::residual: a window of as many.
template <int M, bool streaming, Epilogue epilogue, class T>
[[gnu::noinline]] void output_tile(const WinogradOutput& output, const float* q, std::int64_t channel,
                                   const Window<T>& residual, T* y, std::int64_t row, std::int64_t pixel) {
  constexpr int size = M + 2;
  Vec half[M][size];
#pragma GCC unroll 8
  for (int j = 0; j < size; ++j) {
    Vec d[size], o[M];
#pragma GCC unroll 8
    for (int i = 0; i < size; ++i) d[i] = load(q + (i * size + j) * output.product_stride);
    Points<M>::output(d, o);
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) half[i][j] = o[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
    Vec o[M];
    Points<M>::output(half[i], o);
    const auto each = [&](auto&& change) __attribute__((always_inline)) {
#pragma GCC unroll 6
      for (int j = 0; j < M; ++j) o[j] = change(o[j], j);
    };
    if constexpr (epilogue != Epilogue::none) {
      if (output.scale != nullptr) each([s = load(output.scale + channel)](Vec v, int) { return v * s; });
      if (output.bias != nullptr) each([b = load(output.bias + channel)](Vec v, int) { return v + b; });
      if constexpr (epilogue == Epilogue::residual) {
        each([&](Vec v, int j) { return v + load(residual.data + i * residual.row + j * residual.pixel); });
      }
      if (output.relu) each([](Vec v, int) { return relu(v); });
    }
#pragma GCC unroll 6
    for (int j = 0; j < M; ++j) {
      if constexpr (streaming) {
        stream_line(y + i * row + j * pixel, o[j]);
      } else {
        store(y + i * row + j * pixel, o[j]);
      }
    }
  }
}

/// A tile that reaches beyond the image, or has fewer channels than lanes, is written to a patch, of which what there
/// is is copied.
template <int M, Epilogue epilogue, class T>
[[gnu::always_inline]] inline void output_tiles(const WinogradGrid& grid, const WinogradTiles& tiles,
                                                const WinogradOutput& output) {
  const std::int64_t row = grid.W * output.pitch, residual_row = grid.W * output.residual_pitch;
  alignas(64) T patch[M * M * lanes], residual_patch[M * M * lanes];
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t) {
    const Corner corner = corner_of<M>(grid, t);
    const int rows = static_cast<int>(grid.H - corner.h), columns = static_cast<int>(grid.W - corner.w);
    const std::int64_t pixel = (corner.n * grid.H + corner.h) * grid.W + corner.w;
    const float* q = output.products + (tiles.slot + t - tiles.begin) * output.row_stride;
    for (std::int64_t c = 0; c < output.channels; c += lanes) {
      const int count = static_cast<int>(output.channels - c);
      T* y = static_cast<T*>(output.data) + pixel * output.pitch + c;
      Window<T> residual{nullptr, residual_row, output.residual_pitch};
      if constexpr (epilogue == Epilogue::residual) {
        residual.data = static_cast<const T*>(output.residual) + pixel * output.residual_pitch + c;
      }
      if (rows < M || columns < M || count < lanes) {
        if constexpr (epilogue == Epilogue::residual) {
          copy_window<M>(residual.data, residual.row, residual.pixel, {0, rows}, {0, columns}, count, residual_patch);
          residual = {residual_patch, M * lanes, lanes};
        }
        output_tile<M, false, epilogue>(output, q + c, c, residual, patch, M * lanes, lanes);
        copy_back<M>(patch, rows, columns, count, y, row, output.pitch);
      } else if (kStreams<T> && output.stream) {
        output_tile<M, kStreams<T>, epilogue>(output, q + c, c, residual, y, row, output.pitch);
      } else {
        output_tile<M, false, epilogue>(output, q + c, c, residual, y, row, output.pitch);
      }
    }
  }
}

/// Calls tile(window, destination) for every tile and every vector of channels. A window of size x size pixels that
/// lies in the image is read where it is; one that reaches beyond, or has fewer channels than lanes, is copied first,
/// with zeros for what is missing.
template <int M, int size, class T, class Tile>
[[gnu::always_inline]] inline void for_each_window(const WinogradGrid& grid, const WinogradTiles& tiles,
                                                   const WinogradPixels& x, const WinogradPanels& v, Tile&& tile) {
  constexpr int halo = (size - M) / 2;
  const std::int64_t padded = (x.channels + kWinogradChannelGroup - 1) / kWinogradChannelGroup * kWinogradChannelGroup;
  const std::int64_t row_pitch = grid.W * x.pitch;
  alignas(64) T patch[size * size * lanes];
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t) {
    const Corner corner = corner_of<M>(grid, t);
    const std::int64_t h0 = corner.h - halo, w0 = corner.w - halo;
    // The rows and columns of the window that the image has.
    const int top = h0 < 0 ? 1 : 0, bottom = grid.H - h0 < size ? static_cast<int>(grid.H - h0) : size;
    const int first = w0 < 0 ? 1 : 0, last = grid.W - w0 < size ? static_cast<int>(grid.W - w0) : size;
    const bool inside = top == 0 && first == 0 && bottom == size && last == size;
    const T* pixel = static_cast<const T*>(x.data) + ((corner.n * grid.H + h0) * grid.W + w0) * x.pitch;
    float* to = v.data + (tiles.slot + t - tiles.begin) * v.block;
    for (std::int64_t c0 = 0; c0 < padded; c0 += v.block, to += v.block_stride) {
      const std::int64_t end = c0 + v.block < padded ? v.block : padded - c0;
      for (std::int64_t c = 0; c < end; c += lanes) {
        const T* from = pixel + c0 + c;
        const std::int64_t left = x.channels - c0 - c;
        if (inside && left >= lanes) {
          tile(Window<T>{from, row_pitch, x.pitch}, to + c);
          continue;
        }
        copy_window<size>(from, row_pitch, x.pitch, {top, bottom}, {first, last}, static_cast<int>(left), patch);
        tile(Window<T>{patch, size * lanes, lanes}, to + c);
      }
    }
  }
}

template <int M, class T>
void transform_input(const WinogradGrid& grid, const WinogradTiles& tiles, const WinogradPixels& x,
                     const WinogradPanels& v) {
  for_each_window<M, M + 2, T>(
      grid, tiles, x, v, [&](const Window<T>& window, float* to) { input_tile<M>(window, to, v.product_stride); });
}

template <int M, class T>
void transform_output_gradient(const WinogradGrid& grid, const WinogradTiles& tiles, const WinogradPixels& dy,
                               const WinogradPanels& v) {
  for_each_window<M, M, T>(grid, tiles, dy, v, [&](const Window<T>& window, float* to) {
    output_gradient_tile<M>(window, to, v.product_stride);
  });
}

template <int M, class T>
void transform_output(const WinogradGrid& grid, const WinogradTiles& tiles, const WinogradOutput& output) {
  if (output.residual != nullptr) {
    output_tiles<M, Epilogue::residual, T>(grid, tiles, output);
  } else if (output.scale != nullptr || output.bias != nullptr || output.relu) {
    output_tiles<M, Epilogue::channels, T>(grid, tiles, output);
  } else {
    output_tiles<M, Epilogue::none, T>(grid, tiles, output);
  }
}

template <int M, class T>
constexpr WinogradTileLoops kLoops{transform_input<M, T>, transform_output_gradient<M, T>, transform_output<M, T>};

}  // namespace

extern const WinogradTileLoops winograd_tiles[3][2] = {
    {kLoops<2, float>, kLoops<2, bf16>}, {kLoops<4, float>, kLoops<4, bf16>}, {kLoops<6, float>, kLoops<6, bf16>}};

}  // namespace unet::kernels::cpu::UNET_ISA
