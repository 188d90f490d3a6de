// How the probabilities of a softmax lie: what a curve of precision over recall is made of, at every threshold at once.
//   p_c = e^(x_c) / sum_k e^(x_k);  bin(p) = min(floor(p * kProbabilityBins), kProbabilityBins - 1)
//   bins[c][t][b] += pixels with bin(p_c) = b whose label is c (t = 1) or another class (t = 0)
// Pixels labelled ignore_index, or outside 0..C-1, count nowhere; a NaN lies in bin 0.
// logits [N,H,W,C] dense, 1 <= C <= 256; labels u8 [N,H,W,1]; bins [C][2][kProbabilityBins], in memory of the device.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

inline constexpr int kProbabilityBins = 100;

namespace cpu {

/// Adds to what is there.
void probability_bins(ConstView logits, ConstView labels, int ignore_index, std::int64_t* bins);

}  // namespace cpu

namespace cuda {

/// logits: f32.
void probability_bins(ConstView logits, ConstView labels, int ignore_index, std::int64_t* bins);

}  // namespace cuda
}  // namespace unet::kernels
