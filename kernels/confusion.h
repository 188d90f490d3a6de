// Arg-max prediction against truth: counts for Dice, IoU and pixel accuracy.
//   prediction(i) = first class with the largest logit;  counts[n][c] = (pixels where both are c, predicted c, truly c)
// Pixels labelled ignore_index, or outside 0..C-1, count nowhere. A NaN is never the largest, unless it comes first.
// logits [N,H,W,C] dense, 1 <= C <= 256; labels u8 [N,H,W,1]; counts [N][C], in memory of the device.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

struct ClassCounts {
  std::int64_t both = 0, predicted = 0, truth = 0;
};

namespace cpu {

/// counts: N*C entries, overwritten. prediction, if not empty: u8 [N,H,W,1], the arg-max of every pixel.
void confusion(ConstView logits, ConstView labels, int ignore_index, ClassCounts* counts, View prediction);

}  // namespace cpu

namespace cuda {

void confusion(ConstView logits, ConstView labels, int ignore_index, ClassCounts* counts, View prediction);

}  // namespace cuda
}  // namespace unet::kernels
