// The loss of a pixel is log(1 + s) + (largest - logit of the label), s as in softmax.h: nothing overflows.
#include "kernels/cross_entropy.h"

#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/softmax.h"

namespace unet::kernels::cuda {
namespace {

Cut cut_of(ConstView logits) { return cut(logits.pixels(), 2048, 1024); }

__global__ void __launch_bounds__(kBlockThreads)
    cross_entropy_kernel(const float* logits, const std::uint8_t* labels, const float* class_weights,
                         std::int64_t pixels, std::int64_t per_block, int C, int ignore_index,
                         CrossEntropySums* partial) {
  __shared__ double doubles[kBlockThreads];
  __shared__ std::int64_t integers[kBlockThreads];
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, pixels);
  double loss = 0, weight = 0;
  std::int64_t invalid = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kBlockThreads) {
    const int label = labels[i];
    if (label == ignore_index) continue;
    if (label >= C) {
      ++invalid;
      continue;
    }
    const float* x = logits + i * C;
    const Softmax softmax = softmax_of(x, C);
    const float w = class_weights == nullptr ? 1.0f : class_weights[label];
    const float margin = label == softmax.at ? 0.0f : softmax.largest - x[label];
    loss += static_cast<double>(w * (log1pf(softmax.rest) + margin));
    weight += static_cast<double>(w);
  }
  const double loss_sum = block_sum(loss, doubles), weight_sum = block_sum(weight, doubles);
  const std::int64_t invalid_sum = block_sum(invalid, integers);
  if (threadIdx.x == 0) {
    partial[blockIdx.x].loss = loss_sum;
    partial[blockIdx.x].weight = weight_sum;
    partial[blockIdx.x].invalid = invalid_sum;
  }
}

__global__ void __launch_bounds__(kBlockThreads)
    add_cross_entropy_kernel(const CrossEntropySums* partial, std::int64_t count, CrossEntropySums* out) {
  __shared__ double doubles[kBlockThreads];
  __shared__ std::int64_t integers[kBlockThreads];
  double loss = 0, weight = 0;
  std::int64_t invalid = 0;
  for (std::int64_t b = threadIdx.x; b < count; b += kBlockThreads) {
    loss += partial[b].loss;
    weight += partial[b].weight;
    invalid += partial[b].invalid;
  }
  const double loss_sum = block_sum(loss, doubles), weight_sum = block_sum(weight, doubles);
  const std::int64_t invalid_sum = block_sum(invalid, integers);
  if (threadIdx.x != 0) return;
  out->loss = loss_sum;
  out->weight = weight_sum;
  out->invalid = invalid_sum;
  out->mean = invalid_sum > 0 ? nan("") : weight_sum == 0 ? 0 : loss_sum / weight_sum;
}

__global__ void __launch_bounds__(kBlockThreads)
    cross_entropy_backward_kernel(const float* logits, const std::uint8_t* labels, const float* class_weights,
                                  std::int64_t pixels, int C, int ignore_index, const CrossEntropySums* sums,
                                  const double* dloss, float* dlogits) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (i >= pixels) return;
  const float* x = logits + i * C;
  float* dx = dlogits + i * C;
  const int label = labels[i];
  if (label == ignore_index || label >= C || sums->weight == 0) {
    for (int c = 0; c < C; ++c) dx[c] = 0;
    return;
  }
  const float factor = static_cast<float>(*dloss / sums->weight);
  const float f = class_weights == nullptr ? factor : factor * class_weights[label];
  const Softmax softmax = softmax_of(x, C);
  const float scale = 1 / (1 + softmax.rest);
  float others = 0;  // the probability of all but the label: 1 - p would lose the digits of a small rest
  for (int c = 0; c < C; ++c) {
    if (c == label) continue;
    const float p = (c == softmax.at ? 1.0f : expf(x[c] - softmax.largest)) * scale;
    others += p;
    dx[c] = f * p;
  }
  dx[label] = -f * others;
}

}  // namespace

std::size_t cross_entropy_scratch(ConstView logits) {
  return static_cast<std::size_t>(cut_of(logits).count) * sizeof(CrossEntropySums);
}

void cross_entropy_forward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                           CrossEntropySums* sums, void* scratch) {
  const Cut blocks = cut_of(logits);
  auto* partial = static_cast<CrossEntropySums*>(scratch);
  const Grid block{kBlockThreads, 1, 1};
  launch(cross_entropy_kernel, Grid{static_cast<unsigned>(blocks.count), 1, 1}, block, logits.as<float>(),
         labels.as<std::uint8_t>(), class_weights.as<float>(), logits.pixels(), blocks.per_block,
         static_cast<int>(logits.c()), spec.ignore_index, partial);
  launch(add_cross_entropy_kernel, Grid{}, block, partial, blocks.count, sums);
}

void cross_entropy_backward(const CrossEntropySpec& spec, ConstView logits, ConstView labels, ConstView class_weights,
                            const CrossEntropySums* sums, const double* dloss, View dlogits) {
  const std::int64_t pixels = logits.pixels();
  launch(cross_entropy_backward_kernel, Grid{static_cast<unsigned>((pixels + kBlockThreads - 1) / kBlockThreads), 1, 1},
         Grid{kBlockThreads, 1, 1}, logits.as<float>(), labels.as<std::uint8_t>(), class_weights.as<float>(), pixels,
         static_cast<int>(logits.c()), spec.ignore_index, sums, dloss, dlogits.as<float>());
}

}  // namespace unet::kernels::cuda
