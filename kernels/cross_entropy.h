// Softmax cross-entropy over the channels, fused: probabilities are never stored.
//
//   loss = sum_i w[l_i] * (logsumexp(x_i) - x_i[l_i]) / sum_i w[l_i]     over the pixels i with l_i != ignore_index
//   dx_i[c] = scale * w[l_i] / W * (softmax(x_i)[c] - [c == l_i]),  W = sum_i w[l_i];  0 for ignored pixels
//
// As torch.nn.functional.cross_entropy(weight=w, ignore_index=255, reduction="mean"), except one corner: when nothing
// is counted (all ignored, or every counted weight 0) the loss is 0 and the gradient 0, where PyTorch gives NaN. logits
// [N,H,W,C] dense, 1 <= C <= 256; labels u8 [N,H,W,1], each < C or ignore_index (checked by the caller's data, and by
// this kernel: a label outside counts into `invalid` and is otherwise ignored). class weights [C] of the logits' dtype,
// or empty: all 1. A NaN logit makes the loss NaN, unless its pixel is ignored. Sums are kept in f64 in fixed blocks:
// 10^8 pixels give a relative error below 1e-6.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

struct CrossEntropySpec {
  int ignore_index = 255;
};

/// What the forward pass leaves, in memory of its device, for the backward pass and for the metrics.
struct CrossEntropySums {
  double loss = 0;           // the weighted sum
  double weight = 0;         // W
  std::int64_t invalid = 0;  // labels outside 0..C-1 that are not ignore_index
  double mean = 0;           // the loss: 0 if W is 0, NaN if a label is invalid
};

namespace cpu {

/// Bytes for forward's scratch.
std::size_t cross_entropy_scratch(ConstView logits);
/// sums overwritten.
void cross_entropy_forward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                           CrossEntropySums* sums, void* scratch);
/// dlogits overwritten. dloss: the gradient of the loss, `scale` above.
void cross_entropy_backward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                            const CrossEntropySums* sums, const double* dloss, View dlogits);

}  // namespace cpu

namespace cuda {

std::size_t cross_entropy_scratch(ConstView logits);
void cross_entropy_forward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                           CrossEntropySums* sums, void* scratch);
void cross_entropy_backward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                            const CrossEntropySums* sums, const double* dloss, View dlogits);

}  // namespace cuda
}  // namespace unet::kernels
