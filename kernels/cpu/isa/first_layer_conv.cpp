// Both passes keep rows x vectors sums in registers, as in winograd_product.cpp: pixels x channels of y in the forward
// pass, taps x channels of y in backward weights.
#include "kernels/cpu/isa/first_layer_conv.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

inline constexpr int kMaxVectors = lanes == 16 ? 4 : 2;
constexpr int max_rows(int vectors) {
  if (lanes != 16) return 6;
  return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
}
/// Pixels whose dy stays in the first-level cache while all taps pass over it (64 x 64 channels: 16 KB).
constexpr std::int64_t kStrip = 64;

template <class T>
void pad(const void* x, std::int64_t W, std::int64_t Cin, std::int64_t pitch, std::int64_t pad, float* to) {
  for (std::int64_t i = 0; i < pad * Cin; ++i) to[i] = to[(pad + W) * Cin + i] = 0;
  const T* from = static_cast<const T*>(x);
  to += pad * Cin;
  if (pitch == Cin) {  // one run
    for (std::int64_t i = 0; i < W * Cin; ++i) to[i] = load<T, 1>(from + i);
    return;
  }
  for (std::int64_t w = 0; w < W; ++w, from += pitch, to += Cin) {
    for (std::int64_t c = 0; c < Cin; ++c) to[c] = load<T, 1>(from + c);
  }
}

struct Epilogue {
  const float* bias;
  bool relu, stream;
};

/// Pixels [w, w + pixels) of the row, channels [column, column + vectors * lanes).
template <int pixels, int vectors, class T>
[[gnu::always_inline]] inline void forward_block(const FirstLayerRow& row, std::int64_t w, std::int64_t column,
                                                 const float* weights, const Epilogue& epilogue, T* y,
                                                 std::int64_t pitch) {
  Vec sum[pixels][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < pixels; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) sum[i][j] = Vec{};
  }
  const float* tap = weights + column;
  for (std::int64_t kh = 0; kh < row.Kh; ++kh) {
    const float* x = row.x[kh] + w * row.step;
    for (std::int64_t t = 0; t < row.taps; ++t, ++x, tap += row.columns) {
      Vec weight[vectors];
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) weight[j] = load(tap + j * lanes);
#pragma GCC unroll 12
      for (int i = 0; i < pixels; ++i) {
        const Vec pixel = broadcast(x[i * row.step]);
#pragma GCC unroll 4
        for (int j = 0; j < vectors; ++j) sum[i][j] = fma(pixel, weight[j], sum[i][j]);
      }
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < vectors; ++j) {
    const std::int64_t channel = column + j * lanes;
    const Vec bias = epilogue.bias != nullptr ? load(epilogue.bias + channel) : Vec{};
    const int count = static_cast<int>(row.Cout - channel);
#pragma GCC unroll 12
    for (int i = 0; i < pixels; ++i) {
      Vec value = sum[i][j] + bias;
      if (epilogue.relu) value = relu(value);
      T* p = y + (w + i) * pitch + channel;
      if (epilogue.stream) {
        stream_line(p, value);
      } else if (count >= lanes) {
        store(p, value);
      } else {
        store(p, value, count < 0 ? 0 : count);
      }
    }
  }
}

template <int vectors, class T>
void forward_columns(const FirstLayerRow& row, std::int64_t column, const float* weights, const Epilogue& epilogue,
                     T* y, std::int64_t pitch) {
  constexpr int pixels = max_rows(vectors);
  if (row.W < pixels) {
    for (std::int64_t w = 0; w < row.W; ++w) forward_block<1, vectors>(row, w, column, weights, epilogue, y, pitch);
    return;
  }
  for (std::int64_t w = 0; w < row.W; w += pixels) {  // the last block overlaps the one before: the same values again
    const std::int64_t start = w + pixels <= row.W ? w : row.W - pixels;
    forward_block<pixels, vectors>(row, start, column, weights, epilogue, y, pitch);
  }
}

template <class T>
void forward(const FirstLayerRow& row, const float* weights, const float* bias, bool relu_after, bool stream_y, void* y,
             std::int64_t pitch) {
  const Epilogue epilogue{bias, relu_after, stream_y};
  T* to = static_cast<T*>(y);
  for (std::int64_t column = 0; column < row.columns; column += kMaxVectors * lanes) {
    const std::int64_t left = (row.columns - column) / lanes;
    if constexpr (kMaxVectors == 4) {
      if (left >= 4) {
        forward_columns<4>(row, column, weights, epilogue, to, pitch);
        continue;
      }
      if (left == 3) {
        forward_columns<3>(row, column, weights, epilogue, to, pitch);
        continue;
      }
    }
    if (left >= 2) {
      forward_columns<2>(row, column, weights, epilogue, to, pitch);
    } else {
      forward_columns<1>(row, column, weights, epilogue, to, pitch);
    }
  }
}

/// Where tap t of pixel w stands.
[[gnu::always_inline]] inline const float* tap_at(const FirstLayerRow& row, std::int64_t t, std::int64_t w) {
  return row.x[t / row.taps] + t % row.taps + w * row.step;
}

/// dweights[first, first + taps) += x * dy over pixels [w, w + count), channels from `column` on.
template <int taps, int vectors, class T>
void weights_block(const FirstLayerRow& row, std::int64_t first, std::int64_t w, std::int64_t count,
                   std::int64_t column, const T* dy, std::int64_t pitch, float* dweights) {
  Vec sum[taps][vectors];
  const float* x[taps];
#pragma GCC unroll 12
  for (int i = 0; i < taps; ++i) {
    x[i] = tap_at(row, first + i, w);
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) sum[i][j] = load(dweights + (first + i) * row.columns + column + j * lanes);
  }
  const T* gradient = dy + w * pitch + column;
  const int last = static_cast<int>(row.Cout - column) - (vectors - 1) * lanes;  // channels in the last vector
  for (std::int64_t p = 0; p < count; ++p, gradient += pitch) {
    Vec g[vectors];
#pragma GCC unroll 4
    for (int j = 0; j + 1 < vectors; ++j) g[j] = load(gradient + j * lanes);
    g[vectors - 1] = load(gradient + (vectors - 1) * lanes, last);
#pragma GCC unroll 12
    for (int i = 0; i < taps; ++i) {
      const Vec pixel = broadcast(x[i][p * row.step]);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sum[i][j] = fma(pixel, g[j], sum[i][j]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < taps; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) store(dweights + (first + i) * row.columns + column + j * lanes, sum[i][j]);
  }
}

/// All taps of a strip: of 3x3, groups of nine taps make three of Cin = 3, one each of Cin = 1.
template <int vectors, class T>
void weights_columns(const FirstLayerRow& row, std::int64_t w, std::int64_t count, std::int64_t column, const T* dy,
                     std::int64_t pitch, float* dweights) {
  constexpr int group = vectors >= 3 || lanes != 16 ? 6 : 9;
  const std::int64_t taps = row.Kh * row.taps;
  std::int64_t t = 0;
  for (; t + group <= taps; t += group) weights_block<group, vectors>(row, t, w, count, column, dy, pitch, dweights);
  for (; t + 3 <= taps; t += 3) weights_block<3, vectors>(row, t, w, count, column, dy, pitch, dweights);
  for (; t < taps; ++t) weights_block<1, vectors>(row, t, w, count, column, dy, pitch, dweights);
}

template <class T>
void backward_weights(const FirstLayerRow& row, const void* dy, std::int64_t pitch, float* dweights) {
  const T* from = static_cast<const T*>(dy);
  // Vectors that hold a channel: those that only pad are left at zero, as dy may end before them.
  const std::int64_t vectors = (row.Cout + lanes - 1) / lanes;
  for (std::int64_t w = 0; w < row.W; w += kStrip) {
    const std::int64_t count = row.W - w < kStrip ? row.W - w : kStrip;
    for (std::int64_t v = 0; v < vectors; v += kMaxVectors) {
      const std::int64_t left = vectors - v, column = v * lanes;
      if constexpr (kMaxVectors == 4) {
        if (left >= 4) {
          weights_columns<4>(row, w, count, column, from, pitch, dweights);
          continue;
        }
        if (left == 3) {
          weights_columns<3>(row, w, count, column, from, pitch, dweights);
          continue;
        }
      }
      if (left >= 2) {
        weights_columns<2>(row, w, count, column, from, pitch, dweights);
      } else {
        weights_columns<1>(row, w, count, column, from, pitch, dweights);
      }
    }
  }
}

}  // namespace

extern const FirstLayerLoops first_layer_loops[2] = {{pad<float>, forward<float>, backward_weights<float>, fence},
                                                     {pad<bf16>, forward<bf16>, backward_weights<bf16>, fence}};

}  // namespace unet::kernels::cpu::UNET_ISA
