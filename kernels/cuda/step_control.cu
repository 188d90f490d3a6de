#include "kernels/step_control.h"

#include "kernels/cuda/square_sums.h"

namespace unet::kernels::cuda {
namespace {

/// By one block.
__device__ SquareSum total(SquareSums all, double* shared_sums, std::int64_t* shared_firsts) {
  SquareSum own{0, kNoElement};
  for (std::int64_t i = threadIdx.x; i < all.count; i += kBlockThreads) {
    own.sum += all.of[i].sum;
    if (all.of[i].first_bad >= 0) own.first_bad = min(own.first_bad, all.of[i].first_bad);
  }
  return block_total(own, shared_sums, shared_firsts);
}

__global__ void __launch_bounds__(kBlockThreads)
    decide_kernel(StepControl* control, StepInputs inputs, SquareSums gradients, SquareSums statistics,
                  std::int64_t ranges) {
  __shared__ double sums[kBlockThreads];
  __shared__ std::int64_t firsts[kBlockThreads];
  const SquareSum of_gradients = total(gradients, sums, firsts);
  SquareSum of_statistics;  // of the first range that has something bad
  for (std::int64_t i = 0; i < ranges && isfinite(of_statistics.sum); ++i) {
    of_statistics = total({statistics.of + i * statistics.count, statistics.count}, sums, firsts);
  }
  if (threadIdx.x != 0) return;
  StepControl c;
  c.lr = *inputs.lr;
  for (std::int64_t i = 0; i < inputs.passes; ++i) c.loss += inputs.losses[i] * inputs.shares[i];
  c.grad_norm = sqrt(of_gradients.sum);
  c.first_bad_gradient = of_gradients.first_bad;
  c.first_bad_statistic = of_statistics.first_bad;
  const double clip_norm = *inputs.clip_norm, scale = clip_norm / (c.grad_norm + 1e-6);
  c.grad_scale = clip_norm > 0 && scale < 1 ? scale : 1.0;
  c.verdict = !isfinite(c.loss)                             ? StepVerdict::bad_loss
              : !(c.lr >= 0 && c.lr <= StepControl::kMaxLr) ? StepVerdict::bad_lr
              : !(c.grad_norm <= StepControl::kMaxGradNorm) ? StepVerdict::bad_gradient
              : !isfinite(of_statistics.sum)                ? StepVerdict::bad_statistics
                                                            : StepVerdict::commit;
  *control = c;
}

}  // namespace

void decide(StepControl* control, const StepInputs& inputs, SquareSums gradients, SquareSums statistics,
            std::int64_t ranges) {
  launch(decide_kernel, Grid{}, Grid{kBlockThreads, 1, 1}, control, inputs, gradients, statistics, ranges);
}

}  // namespace unet::kernels::cuda
