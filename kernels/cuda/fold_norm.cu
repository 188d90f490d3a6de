#include "kernels/fold_norm.h"

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

struct Norm {
  const float *gamma, *beta, *mean, *variance;
  float epsilon;
};

__global__ void __launch_bounds__(kBlockThreads)
    fold_norm_kernel(Norm norm, std::int64_t channels, float* scale, float* bias) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  scale[c] = norm.gamma[c] * (1 / sqrtf(norm.variance[c] + norm.epsilon));
  bias[c] = norm.beta[c] - norm.mean[c] * scale[c];
}

/// One block a filter of `row` weights.
template <class From, class To>
__global__ void __launch_bounds__(kBlockThreads)
    scale_filters_kernel(const From* filters, std::int64_t row, const float* scale, To* scaled) {
  const std::int64_t co = blockIdx.x;
  for (std::int64_t i = threadIdx.x; i < row; i += blockDim.x) {
    scaled[co * row + i] = from_float<To>(to_float(filters[co * row + i]) * scale[co]);
  }
}

__global__ void __launch_bounds__(kBlockThreads)
    inverse_deviation_kernel(const float* variance, std::int64_t channels, float epsilon, float* rstd) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < channels) rstd[c] = 1 / sqrtf(variance[c] + epsilon);
}

}  // namespace

void fold_norm(ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon, View scale,
               View bias) {
  const Norm norm{gamma.as<float>(), beta.as<float>(), mean.as<float>(), variance.as<float>(),
                  static_cast<float>(epsilon)};
  const auto blocks = static_cast<unsigned>((gamma.c() + kBlockThreads - 1) / kBlockThreads);
  launch(fold_norm_kernel, {blocks}, {kBlockThreads}, norm, gamma.c(), scale.as<float>(), bias.as<float>());
}

void scale_filters(ConstView filters, ConstView scale, View scaled) {
  const std::int64_t row = filters.h() * filters.w() * filters.c();
  dispatch(filters.dtype, [&]<class From>(From) {
    dispatch(scaled.dtype, [&]<class To>(To) {
      launch(scale_filters_kernel<From, To>, {static_cast<unsigned>(filters.n())}, {kBlockThreads}, filters.as<From>(),
             row, scale.as<float>(), scaled.as<To>());
    });
  });
}

void inverse_deviation(ConstView variance, double epsilon, View rstd) {
  const auto blocks = static_cast<unsigned>((variance.c() + kBlockThreads - 1) / kBlockThreads);
  launch(inverse_deviation_kernel, {blocks}, {kBlockThreads}, variance.as<float>(), variance.c(),
         static_cast<float>(epsilon), rstd.as<float>());
}

}  // namespace unet::kernels::cuda
