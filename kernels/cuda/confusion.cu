#include "kernels/confusion.h"

#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

constexpr int max_classes = 256;  // labels are u8

using Count = unsigned long long;  // what atomics add; ClassCounts holds three of that size

/// grid.y: images. Whole numbers, so atomics leave the same counts in any order.
__global__ void __launch_bounds__(kBlockThreads)
    confusion_kernel(const float* logits, const std::uint8_t* labels, std::int64_t per_image, std::int64_t per_block,
                     int C, int ignore_index, Count* counts, std::uint8_t* prediction) {
  __shared__ unsigned part[max_classes * 3];
  for (int i = static_cast<int>(threadIdx.x); i < C * 3; i += kBlockThreads) part[i] = 0;
  __syncthreads();
  const std::int64_t image = blockIdx.y * per_image;
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, per_image);
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kBlockThreads) {
    const float* x = logits + (image + i) * C;
    int best = 0;
    float largest = x[0];
    for (int c = 1; c < C; ++c) {
      if (x[c] > largest) {
        largest = x[c];
        best = c;
      }
    }
    if (prediction != nullptr) prediction[image + i] = static_cast<std::uint8_t>(best);
    const int label = labels[image + i];
    if (label == ignore_index || label >= C) continue;
    if (label == best) atomicAdd(&part[3 * best], 1u);
    atomicAdd(&part[3 * best + 1], 1u);
    atomicAdd(&part[3 * label + 2], 1u);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < C * 3; i += kBlockThreads) {
    if (part[i] != 0)
      atomicAdd(counts + static_cast<std::int64_t>(blockIdx.y) * C * 3 + i, static_cast<Count>(part[i]));
  }
}

}  // namespace

void confusion(ConstView logits, ConstView labels, int ignore_index, ClassCounts* counts, View prediction) {
  const std::int64_t per_image = logits.h() * logits.w();
  const Cut blocks = cut(per_image, 2048, 256);
  runtime().fill_bytes(counts, 0, static_cast<std::size_t>(logits.n() * logits.c()) * sizeof(ClassCounts));
  launch(confusion_kernel, Grid{static_cast<unsigned>(blocks.count), static_cast<unsigned>(logits.n()), 1},
         Grid{kBlockThreads, 1, 1}, logits.as<float>(), labels.as<std::uint8_t>(), per_image, blocks.per_block,
         static_cast<int>(logits.c()), ignore_index, reinterpret_cast<Count*>(counts), prediction.as<std::uint8_t>());
}

}  // namespace unet::kernels::cuda
