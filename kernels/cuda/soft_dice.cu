#include "kernels/soft_dice.h"

#include "kernels/cuda/dice.h"
#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

constexpr int max_classes = 256;  // labels are u8
constexpr int kClassesAtOnce = 4;

/// Stretches of one image, so that none lies in two groups.
Cut cut_of_image(ConstView logits) { return cut(logits.h() * logits.w(), 2048, 256); }

std::int64_t groups_of(const SoftDiceSpec& spec, ConstView logits) { return spec.batch ? 1 : logits.n(); }

/// The first class that counts.
std::int64_t first_class(const SoftDiceSpec& spec, ConstView logits) {
  return spec.background || logits.c() == 1 ? 0 : 1;
}

/// partial: of every stretch (grid.x) of every image (grid.y) [C,3], then its invalid labels. grid.z: groups of
/// classes; each makes the softmax anew, which costs less than sums of all classes in local memory.
__global__ void __launch_bounds__(kBlockThreads)
    soft_dice_kernel(const float* logits, const std::uint8_t* labels, std::int64_t per_image, std::int64_t per_block,
                     int C, int ignore_index, double* partial) {
  __shared__ double doubles[kBlockThreads];
  __shared__ std::int64_t integers[kBlockThreads];
  const int first = static_cast<int>(blockIdx.z) * kClassesAtOnce;
  const std::int64_t image = blockIdx.y * per_image;
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, per_image);
  double p_sum[kClassesAtOnce] = {}, pt_sum[kClassesAtOnce] = {};
  std::int64_t t_sum[kClassesAtOnce] = {}, invalid = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kBlockThreads) {
    const int label = labels[image + i];
    if (label == ignore_index) continue;
    if (label >= C) {
      ++invalid;
      continue;
    }
    const float* x = logits + (image + i) * C;
    float largest = x[0];
    for (int c = 1; c < C; ++c) largest = x[c] > largest ? x[c] : largest;
    float sum = 0;
    for (int c = 0; c < C; ++c) sum += expf(x[c] - largest);
    const float scale = 1 / sum;
#pragma unroll
    for (int k = 0; k < kClassesAtOnce; ++k) {
      if (first + k >= C) continue;
      const double p = static_cast<double>(expf(x[first + k] - largest) * scale);
      p_sum[k] += p;
      if (label == first + k) {
        pt_sum[k] += p;
        ++t_sum[k];
      }
    }
  }
  double* out = partial + (static_cast<std::int64_t>(blockIdx.y) * gridDim.x + blockIdx.x) * (C * 3 + 1);
#pragma unroll
  for (int k = 0; k < kClassesAtOnce; ++k) {
    const double pt = block_sum(pt_sum[k], doubles), p = block_sum(p_sum[k], doubles);
    const std::int64_t t = block_sum(t_sum[k], integers);
    if (threadIdx.x == 0 && first + k < C) {
      out[(first + k) * 3] = pt;
      out[(first + k) * 3 + 1] = p;
      out[(first + k) * 3 + 2] = static_cast<double>(t);
    }
  }
  const std::int64_t bad = block_sum(invalid, integers);
  if (threadIdx.x == 0 && first == 0) out[C * 3] = static_cast<double>(bad);
}

__global__ void __launch_bounds__(kBlockThreads)
    soft_dice_loss_kernel(const double* sums, std::int64_t groups, int C, int first, double smooth,
                          const double* partial, std::int64_t stretches, SoftDiceResult* result) {
  __shared__ double doubles[kBlockThreads];
  const std::int64_t terms = groups * (C - first);
  double total = 0, invalid = 0;
  for (std::int64_t i = threadIdx.x; i < terms; i += kBlockThreads) {
    total += dice_of(sums + (i / (C - first) * C + first + i % (C - first)) * 3, smooth);
  }
  for (std::int64_t b = threadIdx.x; b < stretches; b += kBlockThreads) invalid += partial[b * (C * 3 + 1) + C * 3];
  const double all = block_sum(total, doubles), bad = block_sum(invalid, doubles);
  if (threadIdx.x != 0) return;
  result->invalid = static_cast<std::int64_t>(bad);
  result->loss = bad > 0 ? nan("") : groups == 0 ? 0 : 1 - all / static_cast<double>(terms);
}

/// grid.y: images.
__global__ void __launch_bounds__(kBlockThreads)
    soft_dice_backward_kernel(const float* logits, const std::uint8_t* labels, std::int64_t per_image, int C, int first,
                              bool batch, double smooth, double groups, int ignore_index, const double* sums,
                              const double* dloss, float* dlogits) {
  // dD/dp of a class, times the share of the loss: for pixels of the class and for the others.
  __shared__ float if_true[max_classes], if_false[max_classes];
  const double share = -*dloss / (groups * (C - first));
  for (int c = static_cast<int>(threadIdx.x); c < C; c += kBlockThreads) {
    const double* s = sums + ((batch ? 0 : static_cast<std::int64_t>(blockIdx.y)) * C + c) * 3;
    const DiceSlope of_class = c >= first ? dice_slope(s, smooth, share) : DiceSlope{0, 0};
    if_true[c] = static_cast<float>(of_class.slope + of_class.offset);
    if_false[c] = static_cast<float>(of_class.offset);
  }
  __syncthreads();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (i >= per_image) return;
  const std::int64_t pixel = blockIdx.y * per_image + i;
  const float* x = logits + pixel * C;
  float* dx = dlogits + pixel * C;
  const int label = labels[pixel];
  if (label == ignore_index || label >= C) {
    for (int c = 0; c < C; ++c) dx[c] = 0;
    return;
  }
  if (C == 2) {  // p_0 = 1 - p_1: without the difference of two near numbers that the sum below takes
    const float d = x[1] - x[0];
    const float u = expf(d > 0 ? -d : d), large = 1 / (u + 1);
    const float g = label == 1 ? if_true[1] - if_false[0] : if_false[1] - if_true[0];
    dx[1] = g * (u * large * large);
    dx[0] = -dx[1];
    return;
  }
  float largest = x[0];
  for (int c = 1; c < C; ++c) largest = x[c] > largest ? x[c] : largest;
  float sum = 0, mean = 0;
  for (int c = 0; c < C; ++c) {
    const float e = expf(x[c] - largest);
    sum += e;
    mean += e * (label == c ? if_true[c] : if_false[c]);
  }
  const float scale = 1 / sum;
  mean *= scale;
  for (int c = 0; c < C; ++c) {
    dx[c] = expf(x[c] - largest) * scale * ((label == c ? if_true[c] : if_false[c]) - mean);
  }
}

}  // namespace

std::size_t soft_dice_scratch(ConstView logits) {
  return static_cast<std::size_t>(logits.n() * cut_of_image(logits).count * (logits.c() * 3 + 1)) * sizeof(double);
}

void soft_dice_forward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, double* sums,
                       SoftDiceResult* result, void* scratch) {
  const Cut blocks = cut_of_image(logits);
  const std::int64_t N = logits.n(), C = logits.c(), per_image = logits.h() * logits.w();
  const std::int64_t width = C * 3 + 1, groups = groups_of(spec, logits);
  auto* partial = static_cast<double*>(scratch);
  const Grid block{kBlockThreads, 1, 1};
  launch(soft_dice_kernel,
         Grid{static_cast<unsigned>(blocks.count), static_cast<unsigned>(N),
              static_cast<unsigned>((C + kClassesAtOnce - 1) / kClassesAtOnce)},
         block, logits.as<float>(), labels.as<std::uint8_t>(), per_image, blocks.per_block, static_cast<int>(C),
         spec.ignore_index, partial);
  sum_columns(partial, groups, spec.batch ? N * blocks.count : blocks.count, width, C * 3, sums);
  launch(soft_dice_loss_kernel, Grid{}, block, sums, groups, static_cast<int>(C),
         static_cast<int>(first_class(spec, logits)), spec.smooth, partial, N * blocks.count, result);
}

void soft_dice_backward(const SoftDiceSpec& spec, ConstView logits, ConstView labels, const double* sums,
                        const double* dloss, View dlogits) {
  const std::int64_t per_image = logits.h() * logits.w();
  const Grid grid{static_cast<unsigned>((per_image + kBlockThreads - 1) / kBlockThreads),
                  static_cast<unsigned>(logits.n()), 1};
  launch(soft_dice_backward_kernel, grid, Grid{kBlockThreads, 1, 1}, logits.as<float>(), labels.as<std::uint8_t>(),
         per_image, static_cast<int>(logits.c()), static_cast<int>(first_class(spec, logits)), spec.batch, spec.smooth,
         static_cast<double>(groups_of(spec, logits)), spec.ignore_index, sums, dloss, dlogits.as<float>());
}

}  // namespace unet::kernels::cuda
