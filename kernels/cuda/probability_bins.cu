#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/softmax.h"
#include "kernels/probability_bins.h"

namespace unet::kernels::cuda {
namespace {

constexpr int kClassesAtOnce = 32;  // whose bins a block holds: 25 KB

using Count = unsigned long long;  // what atomics add

/// grid.x: stretches of pixels; grid.y: groups of classes. Whole numbers, so atomics leave the same counts in any
/// order.
__global__ void __launch_bounds__(kBlockThreads)
    probability_bins_kernel(const float* logits, const std::uint8_t* labels, std::int64_t pixels,
                            std::int64_t per_block, int C, int ignore_index, Count* bins) {
  __shared__ unsigned part[kClassesAtOnce * 2 * kProbabilityBins];
  const int first = static_cast<int>(blockIdx.y) * kClassesAtOnce, classes = min(kClassesAtOnce, C - first);
  const int size = classes * 2 * kProbabilityBins;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kBlockThreads) part[i] = 0;
  __syncthreads();
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, pixels);
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kBlockThreads) {
    const int label = labels[i];
    if (label == ignore_index || label >= C) continue;
    const float* x = logits + i * C;
    const Softmax softmax = softmax_of(x, C);
    for (int c = 0; c < classes; ++c) {
      const float at = expf(x[first + c] - softmax.largest) / (1 + softmax.rest) * kProbabilityBins;
      const int bin = at >= 0 ? min(static_cast<int>(at), kProbabilityBins - 1) : 0;
      atomicAdd(&part[(2 * c + (label == first + c ? 1 : 0)) * kProbabilityBins + bin], 1u);
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kBlockThreads) {
    if (part[i] != 0) atomicAdd(bins + first * 2 * kProbabilityBins + i, static_cast<Count>(part[i]));
  }
}

}  // namespace

void probability_bins(ConstView logits, ConstView labels, int ignore_index, std::int64_t* bins) {
  const std::int64_t pixels = logits.n() * logits.h() * logits.w();
  const Cut blocks = cut(pixels, 4096, 512);
  const auto groups = static_cast<unsigned>((logits.c() + kClassesAtOnce - 1) / kClassesAtOnce);
  launch(probability_bins_kernel, Grid{static_cast<unsigned>(blocks.count), groups, 1}, Grid{kBlockThreads, 1, 1},
         logits.as<float>(), labels.as<std::uint8_t>(), pixels, blocks.per_block, static_cast<int>(logits.c()),
         ignore_index, reinterpret_cast<Count*>(bins));
}

}  // namespace unet::kernels::cuda
