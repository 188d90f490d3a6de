// A sum of losses with weights, fused: one pass over the logits for all terms, forward and backward. With p =
// softmax(x), l_i the label of pixel i, nll_i[c] = -log p_i[c], w the class weights, W = sum_i w[l_i] over the pixels
// that are not ignored:
//
//   loss = cross_entropy * CE + focal * F + dice * D + dice_batch * D'
//   CE = sum_i ((1 - smoothing) * w[l_i] * nll_i[l_i] + smoothing / C * sum_c w[c] * nll_i[c]) / W
//   F  = sum_i w[l_i] * (1 - p_i[l_i])^gamma * nll_i[l_i] / W                       (Lin et al. 2017, equation 4)
//   D, D': soft_dice.h, with a group for each image and with one of the batch; class weights are none of their business
//
// With q = 1 - p[l] of a pixel, s = cross_entropy * smoothing / C and g = dD/dp (soft_dice.h) of both Dice terms:
//
//   dx_c = scale * (w[l] / W * (cross_entropy * (1 - smoothing) + focal * q^gamma * (1 + gamma * p[l] * nll[l] / q))
//                     * (p_c - [c == l])
//                   + s / W * (p_c * sum_k w[k] - w[c]) + p_c * (g_c - sum_k g_k p_k)),   nll / q -> 1 where q -> 0
//
// CE is torch.nn.functional.cross_entropy's with weight and label_smoothing, whose smoothed part is divided by W too.
// Corners: those of cross_entropy.h and soft_dice.h (nothing counted, or counted with weight 0: CE and F are 0, where
// PyTorch has NaN; a class or a group without pixels; NaN; invalid labels). gamma 0 is cross-entropy. One term alone
// with weight 1 that has an op of its own is faster there. Sums in f64, in fixed blocks.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

struct LossSumSpec {
  // The weights, >= 0. 0: the term is left out.
  double cross_entropy = 0, focal = 0, dice = 0, dice_batch = 0;
  double smoothing = 0;  // of the labels in cross-entropy, 0 to 1
  double gamma = 2;      // focal's, >= 0
  double smooth = 1;     // Dice's, >= 0
  bool background = false;
  int ignore_index = 255;
};

/// What the forward pass leaves in memory of its device, besides the sums.
struct LossSumResult {
  double pixels = 0;         // the sum over pixels of cross-entropy's and focal's part, with their weights
  double weight = 0;         // W
  std::int64_t invalid = 0;  // labels outside 0..C-1 that are not ignore_index
  double loss = 0;           // NaN if a label is invalid
};

namespace cpu {

/// Bytes for forward's scratch.
std::size_t loss_sum_scratch(ConstView logits);
/// logits [N,H,W,C] dense, labels u8 [N,H,W,1], class_weights [C] of the logits' dtype or empty: all 1. sums: f64
/// [N + 1, C, 3] = (sum p*t, sum p, sum t) of every image, then of the batch, kept for backward; undefined without a
/// Dice term.
void loss_sum_forward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                      double* sums, LossSumResult* result, void* scratch);
/// dlogits overwritten. dloss: the gradient of the loss, `scale` above.
void loss_sum_backward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                       const double* sums, const LossSumResult* result, const double* dloss, View dlogits);

}  // namespace cpu

namespace cuda {

std::size_t loss_sum_scratch(ConstView logits);
void loss_sum_forward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                      double* sums, LossSumResult* result, void* scratch);
void loss_sum_backward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                       const double* sums, const LossSumResult* result, const double* dloss, View dlogits);

}  // namespace cuda
}  // namespace unet::kernels
