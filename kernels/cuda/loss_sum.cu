#include "kernels/loss_sum.h"

#include <algorithm>

#include "kernels/cuda/dice.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/softmax.h"

namespace unet::kernels::cuda {
namespace {

constexpr int kMaxClasses = 256;  // labels are u8
constexpr int kClassesAtOnce = 4;
constexpr int kSums = 3;  // a stretch leaves, behind Dice's: the sum of the losses, W, the number of invalid labels

/// The spec as the kernels take it.
struct Terms {
  float plain, smoothed, focal, gamma;
  double dice, dice_batch, smooth;
  int first;  // the first class that counts for Dice
  int ignore_index;
  bool has_dice() const { return dice != 0 || dice_batch != 0; }
};

Terms terms_of(const LossSumSpec& spec, ConstView logits) {
  const auto C = static_cast<int>(logits.c());
  return {.plain = static_cast<float>(spec.cross_entropy * (1 - spec.smoothing)),
          .smoothed = static_cast<float>(spec.cross_entropy * spec.smoothing / C),
          .focal = static_cast<float>(spec.focal),
          .gamma = static_cast<float>(spec.gamma),
          .dice = spec.dice,
          .dice_batch = spec.dice_batch,
          .smooth = spec.smooth,
          .first = spec.background || C == 1 ? 0 : 1,
          .ignore_index = spec.ignore_index};
}

/// Stretches of one image, so that none lies in two groups.
Cut cut_of_image(ConstView logits) { return cut(logits.h() * logits.w(), 2048, 256); }

std::int64_t width_of(ConstView logits) { return logits.c() * 3 + kSums; }

__device__ inline float weight_of(const float* class_weights, int c) {
  return class_weights == nullptr ? 1.0f : class_weights[c];
}

/// q^gamma
__device__ inline float power(float q, float gamma) { return gamma == 2 ? q * q : powf(q, gamma); }

/// Of a pixel: its softmax, 1 / the sum of the exponentials, -log p of the label, p and q = 1 - p.
struct Pixel {
  Softmax softmax;
  float scale, loss, own, others;
  __device__ float probability(float logit, int c) const {
    return (c == softmax.at ? 1.0f : expf(logit - softmax.largest)) * scale;
  }
};

__device__ inline Pixel look_at(const float* x, int C, int label) {
  Pixel out{softmax_of(x, C), 0, 0, 0, 0};
  const float rest = out.softmax.rest, largest = out.softmax.largest;
  const float finite = largest - largest;  // or NaN: a lone class has nothing else to tell it by
  const bool at_label = label == out.softmax.at;
  out.scale = 1 / (1 + rest);
  out.loss = log1pf(rest) + (at_label ? finite : largest - x[label]);
  out.own = out.probability(x[label], label);
  out.others = at_label ? rest * out.scale : 1 - out.own;
  return out;
}

/// What a pixel adds to the loss.
__device__ inline float loss_of(const Terms& terms, const float* x, int C, const float* class_weights, int label,
                                const Pixel& pixel) {
  const float share = terms.plain + (terms.focal != 0 ? terms.focal * power(pixel.others, terms.gamma) : 0);
  float loss = weight_of(class_weights, label) * pixel.loss * share;
  if (terms.smoothed != 0) {
    float spread = 0, weight_sum = 0;
    for (int c = 0; c < C; ++c) {
      const float w = weight_of(class_weights, c);
      spread += w * (pixel.softmax.largest - x[c]);
      weight_sum += w;
    }
    loss += terms.smoothed * (weight_sum * log1pf(pixel.softmax.rest) + spread);
  }
  return loss;
}

/// partial: of every stretch (grid.x) of every image (grid.y) Dice's [C,3], then the kSums. grid.z: groups of classes,
/// one without a Dice term; each makes the softmax anew, which costs less than sums of all classes in local memory.
__global__ void __launch_bounds__(kBlockThreads)
    loss_sum_kernel(Terms terms, const float* logits, const std::uint8_t* labels, const float* class_weights,
                    std::int64_t per_image, std::int64_t per_block, int C, int dice_classes, double* partial) {
  __shared__ double doubles[kBlockThreads];
  const int first = static_cast<int>(blockIdx.z) * kClassesAtOnce;
  const std::int64_t image = blockIdx.y * per_image;
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, per_image);
  double p_sum[kClassesAtOnce] = {}, pt_sum[kClassesAtOnce] = {}, t_sum[kClassesAtOnce] = {};
  double loss = 0, weight = 0, invalid = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kBlockThreads) {
    const int label = labels[image + i];
    if (label == terms.ignore_index) continue;
    if (label >= C) {
      ++invalid;
      continue;
    }
    const float* x = logits + (image + i) * C;
    const Pixel pixel = look_at(x, C, label);
    if (first == 0) {
      loss += static_cast<double>(loss_of(terms, x, C, class_weights, label, pixel));
      weight += static_cast<double>(weight_of(class_weights, label));
    }
#pragma unroll
    for (int k = 0; k < kClassesAtOnce; ++k) {
      const int c = first + k;
      if (c >= dice_classes) continue;
      const double p = static_cast<double>(pixel.probability(x[c], c));
      p_sum[k] += p;
      if (label == c) {
        pt_sum[k] += p;
        ++t_sum[k];
      }
    }
  }
  double* out = partial + (static_cast<std::int64_t>(blockIdx.y) * gridDim.x + blockIdx.x) * (C * 3 + kSums);
#pragma unroll
  for (int k = 0; k < kClassesAtOnce; ++k) {
    if (first + k >= dice_classes) continue;
    const double pt = block_sum(pt_sum[k], doubles), p = block_sum(p_sum[k], doubles);
    const double t = block_sum(t_sum[k], doubles);
    if (threadIdx.x != 0) continue;
    out[(first + k) * 3] = pt;
    out[(first + k) * 3 + 1] = p;
    out[(first + k) * 3 + 2] = t;
  }
  if (first != 0) return;
  const double loss_sum = block_sum(loss, doubles), weight_sum = block_sum(weight, doubles);
  const double bad = block_sum(invalid, doubles);
  if (threadIdx.x != 0) return;
  out[C * 3] = loss_sum;
  out[C * 3 + 1] = weight_sum;
  out[C * 3 + 2] = bad;
}

/// 1 - the mean D of `groups` groups, given to all threads of the block; sums: of the first.
__device__ inline double dice_loss(const Terms& terms, std::int64_t groups, int C, const double* sums,
                                   double* doubles) {
  const std::int64_t counted = C - terms.first;
  double total = 0;
  for (std::int64_t i = threadIdx.x; i < groups * counted; i += kBlockThreads) {
    total += dice_of(sums + (i / counted * C + terms.first + i % counted) * 3, terms.smooth);
  }
  return 1 - block_sum(total, doubles) / static_cast<double>(groups * counted);
}

__global__ void __launch_bounds__(kBlockThreads)
    loss_sum_result_kernel(Terms terms, const double* sums, std::int64_t images, int C, const double* partial,
                           std::int64_t stretches, LossSumResult* result) {
  __shared__ double doubles[kBlockThreads];
  double own[kSums] = {};
  for (std::int64_t b = threadIdx.x; b < stretches; b += kBlockThreads) {
    for (int k = 0; k < kSums; ++k) own[k] += partial[b * (C * 3 + kSums) + C * 3 + k];
  }
  const double pixels = block_sum(own[0], doubles), weight = block_sum(own[1], doubles);
  const double invalid = block_sum(own[2], doubles);
  if (threadIdx.x == 0) {  // written at once: kept, the sums would not find registers in the loops below
    result->pixels = pixels;
    result->weight = weight;
    result->invalid = static_cast<std::int64_t>(invalid);
    result->loss = invalid > 0 ? nan("") : weight == 0 ? 0 : pixels / weight;
  }
#pragma unroll 1
  for (int batch = 0; batch < 2; ++batch) {
    const double factor = batch == 0 ? terms.dice : terms.dice_batch;
    if (factor == 0) continue;
    const double dice = dice_loss(terms, batch == 0 ? images : 1, C, sums + batch * images * C * 3, doubles);
    if (threadIdx.x == 0) result->loss += factor * dice;
  }
}

/// grid.y: images.
__global__ void __launch_bounds__(kBlockThreads)
    loss_sum_backward_kernel(Terms terms, const float* logits, const std::uint8_t* labels, const float* class_weights,
                             std::int64_t images, std::int64_t per_image, int C, const double* sums,
                             const LossSumResult* result, const double* dloss, float* dlogits) {
  // dD/dp of a class, times the share of the loss: for pixels of the class and for the others.
  __shared__ float if_true[kMaxClasses], if_false[kMaxClasses];
  const double share = -*dloss / (C - terms.first);
  for (int c = static_cast<int>(threadIdx.x); c < C; c += kBlockThreads) {
    DiceSlope of_image{0, 0}, of_batch{0, 0};
    if (terms.dice != 0 && c >= terms.first) {
      of_image = dice_slope(sums + (static_cast<std::int64_t>(blockIdx.y) * C + c) * 3, terms.smooth,
                            terms.dice * share / static_cast<double>(images));
    }
    if (terms.dice_batch != 0 && c >= terms.first) {
      of_batch = dice_slope(sums + (images * C + c) * 3, terms.smooth, terms.dice_batch * share);
    }
    const double offset = of_image.offset + of_batch.offset;
    if_true[c] = static_cast<float>(of_image.slope + of_batch.slope + offset);
    if_false[c] = static_cast<float>(offset);
  }
  __syncthreads();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (i >= per_image) return;
  const std::int64_t at = blockIdx.y * per_image + i;
  const float* x = logits + at * C;
  float* dx = dlogits + at * C;
  const int label = labels[at];
  if (label == terms.ignore_index || label >= C) {
    for (int c = 0; c < C; ++c) dx[c] = 0;
    return;
  }
  const Pixel pixel = look_at(x, C, label);
  const float factor = result->weight == 0 ? 0 : static_cast<float>(*dloss / result->weight);
  float f = terms.plain;  // what p_c - [c == l] is multiplied by
  if (terms.focal != 0) {
    const float q = pixel.others, ratio = q > 0 ? pixel.loss / q : 1.0f;
    f += terms.focal * power(q, terms.gamma) * (1 + terms.gamma * pixel.own * ratio);
  }
  f *= factor * weight_of(class_weights, label);
  const float smoothed = factor * terms.smoothed;
  if (C == 2) {  // p_0 = 1 - p_1: without the difference of two near numbers that the sums below take
    const float p0 = pixel.probability(x[0], 0), p1 = pixel.probability(x[1], 1);
    const float of_other = f * pixel.others;
    const float dice = label == 1 ? if_true[1] - if_false[0] : if_false[1] - if_true[0];
    const float g = (label == 1 ? -of_other : of_other) + p0 * p1 * dice +
                    smoothed * (weight_of(class_weights, 0) * p1 - weight_of(class_weights, 1) * p0);
    dx[0] = -g;
    dx[1] = g;
    return;
  }
  float mean = 0, weight_sum = 0;
  for (int c = 0; c < C; ++c) {
    mean += pixel.probability(x[c], c) * (label == c ? if_true[c] : if_false[c]);
    weight_sum += weight_of(class_weights, c);
  }
  for (int c = 0; c < C; ++c) {
    const float p = pixel.probability(x[c], c);
    const float slope = (label == c ? if_true[c] : if_false[c]) - mean;
    dx[c] = (label == c ? -f * pixel.others : f * p) + p * slope +
            smoothed * (weight_sum * p - weight_of(class_weights, c));
  }
}

}  // namespace

std::size_t loss_sum_scratch(ConstView logits) {
  return static_cast<std::size_t>(logits.n() * cut_of_image(logits).count * width_of(logits)) * sizeof(double);
}

void loss_sum_forward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                      double* sums, LossSumResult* result, void* scratch) {
  const Terms terms = terms_of(spec, logits);
  const Cut blocks = cut_of_image(logits);
  const std::int64_t N = logits.n(), C = logits.c(), per_image = logits.h() * logits.w(), width = width_of(logits);
  const std::int64_t dice_classes = terms.has_dice() ? C : 0;
  auto* partial = static_cast<double*>(scratch);
  const Grid block{kBlockThreads, 1, 1};
  launch(loss_sum_kernel,
         Grid{static_cast<unsigned>(blocks.count), static_cast<unsigned>(N),
              static_cast<unsigned>(std::max<std::int64_t>(1, (dice_classes + kClassesAtOnce - 1) / kClassesAtOnce))},
         block, terms, logits.as<float>(), labels.as<std::uint8_t>(), class_weights.as<float>(), per_image,
         blocks.per_block, static_cast<int>(C), static_cast<int>(dice_classes), partial);
  if (spec.dice != 0) sum_columns(partial, N, blocks.count, width, C * 3, sums);
  if (spec.dice_batch != 0) sum_columns(partial, 1, N * blocks.count, width, C * 3, sums + N * C * 3);
  launch(loss_sum_result_kernel, Grid{}, block, terms, sums, N, static_cast<int>(C), partial, N * blocks.count, result);
}

void loss_sum_backward(const LossSumSpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                       const double* sums, const LossSumResult* result, const double* dloss, View dlogits) {
  const std::int64_t per_image = logits.h() * logits.w();
  const Grid grid{static_cast<unsigned>((per_image + kBlockThreads - 1) / kBlockThreads),
                  static_cast<unsigned>(logits.n()), 1};
  launch(loss_sum_backward_kernel, grid, Grid{kBlockThreads, 1, 1}, terms_of(spec, logits), logits.as<float>(),
         labels.as<std::uint8_t>(), class_weights.as<float>(), logits.n(), per_image, static_cast<int>(logits.c()),
         sums, result, dloss, dlogits.as<float>());
}

}  // namespace unet::kernels::cuda
