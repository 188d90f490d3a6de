// Inner loops of kernels/cpu/first_layer_conv.cpp. One row of the image at a time; the three rows of x around it are
// kept as f32 with one zero pixel at each end, so that the 3*Cin taps of a pixel in one row are adjacent numbers.
//
// Tap t in [0, 9*Cin) is (kh, kw, ci) in memory order. Channels of y are padded to a multiple of 16 in f32 tables.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

struct FirstLayerRow {
  const float* x[3];  // padded rows h-1, h, h+1: [W+2][Cin]
  std::int64_t W, Cin, Cout;
  std::int64_t columns;  // Cout, padded
};

struct FirstLayerLoops {
  /// One row of x, W pixels, to a padded f32 row.
  void (*pad)(const void* x, std::int64_t W, std::int64_t Cin, std::int64_t pitch, float* to);
  /// y[w][co] = act(bias[co] + sum_t x * weights[t][co]). weights [9*Cin][columns] and bias (or null) are padded.
  /// stream: past the caches; f32, y and pitch whole cache lines, Cout whole vectors.
  void (*forward)(const FirstLayerRow& row, const float* weights, const float* bias, bool relu, bool stream, void* y,
                  std::int64_t pitch);
  /// dweights[t][co] += sum_w x * dy[w][co]; dweights [9*Cin][columns].
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
