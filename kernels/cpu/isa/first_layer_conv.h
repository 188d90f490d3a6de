// Inner loops of kernels/cpu/first_layer_conv.cpp. One row of y at a time; the Kh rows of x that it is made of are kept
// as f32 with their padding, so that the Kw*Cin taps of a pixel in one row are adjacent numbers.
//
// Tap t in [0, Kh*Kw*Cin) is (kh, kw, ci) in memory order. Channels of y are padded to a multiple of 16 in f32 tables.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

inline constexpr std::int64_t kFirstLayerRows = 7;  // most of a kernel

struct FirstLayerRow {
  const float* x[kFirstLayerRows];  // Kh padded rows
  std::int64_t Kh, taps;            // rows, and taps in each: Kw*Cin
  std::int64_t step;                // numbers from the taps of a pixel of y to those of the next: stride*Cin
  std::int64_t W, Cout;             // of y
  std::int64_t columns;             // Cout, padded
};

struct FirstLayerLoops {
  /// One row of x, W pixels, to an f32 row with `pad` zero pixels at each end.
  void (*pad)(const void* x, std::int64_t W, std::int64_t Cin, std::int64_t pitch, std::int64_t pad, float* to);
  /// y[w][co] = act(bias[co] + sum_t x * weights[t][co]). weights [taps][columns] and bias (or null) are padded.
  /// stream: past the caches; f32, y and pitch whole cache lines, Cout whole vectors.
  void (*forward)(const FirstLayerRow& row, const float* weights, const float* bias, bool relu, bool stream, void* y,
                  std::int64_t pitch);
  /// dweights[t][co] += sum_w x * dy[w][co]; dweights [taps][columns].
  void (*backward_weights)(const FirstLayerRow& row, const void* dy, std::int64_t pitch, float* dweights);
  void (*fence)();  // after streamed writes, before another thread reads them
};

// Indexed [f32, bf16].
namespace baseline {
extern const FirstLayerLoops first_layer_loops[2];
}
namespace avx2 {
extern const FirstLayerLoops first_layer_loops[2];
}
namespace avx512 {
extern const FirstLayerLoops first_layer_loops[2];
}

}  // namespace unet::kernels::cpu
