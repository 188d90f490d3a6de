// Every differentiable operation. Activations are [N,H,W,C]; f32, f64 or bf16, all operands of one op alike, but beside
// bf16 parameters, statistics and logits are f32 (convolution weights on CUDA bf16). Each function checks its operands
// (throws Error with names, shapes and what was expected, before anything runs), allocates its output, runs the kernel
// and records its backward. Formulas, corner cases and what is saved: kernels/<op>.h.
#pragma once

#include <utility>
#include <vector>

#include "engine/autograd/tape.h"
#include "kernels/cross_entropy.h"
#include "kernels/loss_sum.h"
#include "kernels/max_pool.h"
#include "kernels/normalize_images.h"
#include "kernels/soft_dice.h"

namespace unet {

struct Conv2dOptions {
  std::int64_t stride = 1;
  std::int64_t pad = 0;
  // Only where no operand wants a gradient, what a batch norm, a residual and a ReLU come to:
  // y = relu(scale * conv(x) + bias + residual).
  bool relu = false;
  Tensor scale{};     // [Cout]; the weight is f32 then whatever x is
  Tensor residual{};  // [N,Ho,Wo,Cout], of x's dtype; may be a channel slice, but not of y
  Tensor out{};       // where y goes; may be a channel slice
};
/// x [N,H,W,Cin], dense or a channel slice, weight [Cout,Kh,Kw,Cin], bias [Cout] or not given -> [N,Ho,Wo,Cout].
Var conv2d(Tape& tape, const Var& x, const Var& weight, const Var& bias, const Conv2dOptions& options = {});

/// x [N,H,W,C] dense, weight [K,1,1,C], bias [K] or not given -> [N,H,W,K]: a 1x1 convolution for few outputs.
Var pixel_linear(Tape& tape, const Var& x, const Var& weight, const Var& bias);

/// x [N,H,W,C] dense, weight [K,3,3,C], bias [K] or not given -> [N,H,W,K]: a 3x3 convolution, stride 1, border 1, for
/// few channels and outputs.
Var head_conv2d(Tape& tape, const Var& x, const Var& weight, const Var& bias);

/// x [N,H,W,Cin] dense, weight [Cin,2,2,Cout], bias [Cout] or not given -> [N,2H,2W,Cout], kernel 2x2, stride 2.
/// Written into `out` (may be a channel slice) if given.
Var conv_transpose2d(Tape& tape, const Var& x, const Var& weight, const Var& bias, const Tensor& out = {});

struct NormActOptions {
  bool relu = true;
  bool pool = false;     // also the 2x2 max-pool of y
  Var residual;          // [N,H,W,C], added before the ReLU
  Tensor out;            // where y goes; may be a channel slice
  bool training = true;  // batch statistics; false: the running ones
  double epsilon = 1e-5;
  bool recompute = false;  // backward makes y again from x instead of keeping it: one pass more, a tensor less
};
struct NormActResult {
  Var y;       // [N,H,W,C]
  Var pooled;  // [N,H/2,W/2,C] if asked for
};
/// Batch norm [+ residual] [+ ReLU] [+ max-pool] of x [N,H,W,C]; gamma, beta [C]. Training reports the batch's mean and
/// unbiased variance into stats.pending_* where defined; inference reads stats.mean and stats.variance.
NormActResult norm_act(Tape& tape, const Var& x, const Var& gamma, const Var& beta, const RunningStats& stats,
                       const NormActOptions& options = {});

/// The tensor that the parts were written into: parts[i].value must be the consecutive channel slices of cat [N,H,W,C]
/// that together make it up. Costs nothing; backward hands out slices of the gradient.
Var join(Tape& tape, const Tensor& cat, const std::vector<Var>& parts);

/// Reference forms of what the model does in fused ops.
Var relu(Tape& tape, const Var& x);
Var add(Tape& tape, const Var& a, const Var& b);        // equal shapes
Var concat(Tape& tape, const std::vector<Var>& parts);  // along channels, by copying

/// 2x2 with stride 2 or 3x3 with stride 2 and pad 1, the default the reference form of norm_act's:
/// [N,H,W,C] -> [N,Ho,Wo,C].
Var max_pool2d(Tape& tape, const Var& x, const kernels::PoolSpec& spec = {});

/// [N,H,W,C] -> [N,2H,2W,C], into `out` (may be a slice) if given.
Var upsample_nearest(Tape& tape, const Var& x, const Tensor& out = {});
Var upsample_bilinear(Tape& tape, const Var& x, bool align_corners, const Tensor& out = {});

/// [N,H,W,C] -> [N,height,width,C]: zeros at the bottom and right, or cropped there.
Var pad_or_crop(Tape& tape, const Var& x, std::int64_t height, std::int64_t width);

/// [...,C] -> [...,channels], channels >= C, further ones 0.
Var pad_channels(Tape& tape, const Var& x, std::int64_t channels);

/// Of `channels` that images have, those that a device should be given: itself on the CPU, the next multiple of 8 on a
/// GPU, where cuDNN's kernels for tensor cores would make a padded copy of anything else.
std::int64_t image_channels(std::int64_t channels, Device device);

/// images u8 [N,H,W,Cin] -> [N,H,W,channels], channels >= Cin, further ones 0. A constant.
Var normalize_images(Tape& tape, const Tensor& images, const kernels::NormalizeSpec& spec, std::int64_t channels,
                     Dtype dtype);

/// (x/255 - mean) / deviation with ImageNet's RGB statistics.
kernels::NormalizeSpec imagenet_normalization();

/// Losses: logits [N,H,W,C], labels u8 [N,H,W] -> [1] in f64. class_weights [C] or undefined. A label that is neither a
/// class nor ignored: throw Error on the CPU; elsewhere, where nobody waits for the answer, the loss is NaN.
Var softmax_cross_entropy(Tape& tape, const Var& logits, const Tensor& labels,
                          const kernels::CrossEntropySpec& spec = {}, const Tensor& class_weights = {});
Var soft_dice_loss(Tape& tape, const Var& logits, const Tensor& labels, const kernels::SoftDiceSpec& spec = {});
/// A sum of such losses with weights, with label smoothing and focal loss.
Var loss_sum(Tape& tape, const Var& logits, const Tensor& labels, const kernels::LossSumSpec& spec,
             const Tensor& class_weights = {});

}  // namespace unet
