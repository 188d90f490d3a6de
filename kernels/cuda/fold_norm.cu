#include "kernels/fold_norm.h"

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

struct Norm {
  const float *gamma, *beta, *mean, *variance;
  float epsilon;
};

/// One block a filter of `row` weights.
template <class TW, class TF, class TB>
__global__ void __launch_bounds__(block_threads)
    fold_norm_kernel(const TW* weights, std::int64_t row, Norm norm, TF* folded, TB* bias) {
  const std::int64_t co = blockIdx.x;
  const float scale = norm.gamma[co] * (1 / sqrtf(norm.variance[co] + norm.epsilon));
  for (std::int64_t i = threadIdx.x; i < row; i += blockDim.x) {
    folded[co * row + i] = from_float<TF>(to_float(weights[co * row + i]) * scale);
  }
  if (threadIdx.x == 0) bias[co] = from_float<TB>(norm.beta[co] - norm.mean[co] * scale);
}

__global__ void __launch_bounds__(block_threads)
    inverse_deviation_kernel(const float* variance, std::int64_t channels, float epsilon, float* rstd) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < channels) rstd[c] = 1 / sqrtf(variance[c] + epsilon);
}

}  // namespace

void fold_norm(ConstView weights, ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon,
               View folded, View bias) {
  const Norm norm{gamma.as<float>(), beta.as<float>(), mean.as<float>(), variance.as<float>(),
                  static_cast<float>(epsilon)};
  const std::int64_t row = weights.h() * weights.w() * weights.c();
  dispatch(weights.dtype, [&]<class TW>(TW) {
    dispatch(folded.dtype, [&]<class TF>(TF) {
      dispatch(bias.dtype, [&]<class TB>(TB) {
        launch(fold_norm_kernel<TW, TF, TB>, {static_cast<unsigned>(weights.n())}, {block_threads}, weights.as<TW>(),
               row, norm, folded.as<TF>(), bias.as<TB>());
      });
    });
  });
}

void inverse_deviation(ConstView variance, double epsilon, View rstd) {
  const auto blocks = static_cast<unsigned>((variance.c() + block_threads - 1) / block_threads);
  launch(inverse_deviation_kernel, {blocks}, {block_threads}, variance.as<float>(), variance.c(),
         static_cast<float>(epsilon), rstd.as<float>());
}

}  // namespace unet::kernels::cuda
