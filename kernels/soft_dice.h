// Soft-Dice loss over softmax probabilities, fused (Milletari et al. 2016, section 3, with plain sums as in
// Drozdzal et al. 2016, equation 2). With p = softmax(x), t = one-hot label, sums over the pixels of a group that are
// not ignored:
//
//   D[g][c] = (2 * sum p_c t_c + smooth) / (sum p_c + sum t_c + smooth),    loss = 1 - mean over g and c of D
//
// A group g is an image (default) or the whole batch (`batch`). The classes c are 1..C-1 (foreground; default) or
// 0..C-1 (`background`); with C = 1 the one class is taken in either case.
//   dD/dp_c(i) = (2 t_c(i) - D) / (sum p_c + sum t_c + smooth),  then through softmax:
//   dx_c = p_c * (g_c - sum_k g_k p_k),  g = -scale / (groups * classes) * dD/dp
// Corners: a class absent from truth and prediction gives D -> smooth/smooth = 1 (finite with smooth > 0; with smooth 0
// an empty denominator counts D = 1 and gradient 0); a group whose pixels are all ignored gives D = 1 and gradient 0.
// logits [N,H,W,C] dense, 1 <= C <= 256; labels u8 [N,H,W,1], each < C or ignore_index: another counts into
// `invalid` and is otherwise ignored. A NaN logit makes the loss NaN, unless its pixel is ignored. Sums in f64, in
// fixed blocks.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

struct SoftDiceSpec {
  double smooth = 1.0;
  bool batch = false;       // one group over the batch instead of one per image
  bool background = false;  // count class 0 too
  int ignore_index = 255;
};

/// What the forward pass leaves in memory of its device, besides the sums.
struct SoftDiceResult {
  std::int64_t invalid = 0;  // labels outside 0..C-1 that are not ignore_index
  double loss = 0;           // NaN if a label is invalid
};

namespace cpu {

/// Bytes for forward's scratch.
std::size_t soft_dice_scratch(ConstView logits);
/// sums: f64 [groups, C, 3] = (sum p*t, sum p, sum t), kept for backward.
void soft_dice_forward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, double* sums,
                       SoftDiceResult* result, void* scratch);
/// dlogits overwritten. dloss: the gradient of the loss, `scale` above.
void soft_dice_backward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, const double* sums,
                        const double* dloss, View dlogits);

}  // namespace cpu

namespace cuda {

std::size_t soft_dice_scratch(ConstView logits);
void soft_dice_forward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, double* sums,
                       SoftDiceResult* result, void* scratch);
void soft_dice_backward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, const double* sums,
                        const double* dloss, View dlogits);

}  // namespace cuda
}  // namespace unet::kernels
