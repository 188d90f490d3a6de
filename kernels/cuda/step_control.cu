#include "kernels/step_control.h"

#include "kernels/cuda/square_sums.h"

namespace unet::kernels::cuda {
namespace {

__global__ void begin_step_kernel(StepControl* control, double lr, double clip_norm) {
  control->lr = lr;
  control->clip_norm = clip_norm;
  control->loss = 0;
}

__global__ void add_loss_kernel(StepControl* control, const double* loss, double share) {
  control->loss += *loss * share;
}

/// By one block.
__device__ SquareSum total(SquareSums all, double* shared_sums, std::int64_t* shared_firsts) {
  SquareSum own{0, no_element};
  for (std::int64_t i = threadIdx.x; i < all.count; i += block_threads) {
    own.sum += all.of[i].sum;
    if (all.of[i].first_bad >= 0) own.first_bad = min(own.first_bad, all.of[i].first_bad);
  }
  return block_total(own, shared_sums, shared_firsts);
}

__global__ void __launch_bounds__(block_threads)
    decide_kernel(StepControl* control, double beta1, double beta2, SquareSums gradients, SquareSums statistics,
                  std::int64_t passes) {
  __shared__ double sums[block_threads];
  __shared__ std::int64_t firsts[block_threads];
  const SquareSum of_gradients = total(gradients, sums, firsts);
  SquareSum of_statistics;  // of the first pass that has something bad
  for (std::int64_t i = 0; i < passes && isfinite(of_statistics.sum); ++i) {
    of_statistics = total({statistics.of + i * statistics.count, statistics.count}, sums, firsts);
  }
  if (threadIdx.x != 0) return;
  StepControl c = *control;
  c.grad_norm = sqrt(of_gradients.sum);
  c.first_bad_gradient = of_gradients.first_bad;
  c.first_bad_statistic = of_statistics.first_bad;
  const double scale = c.clip_norm / (c.grad_norm + 1e-6);
  c.grad_scale = c.clip_norm > 0 && scale < 1 ? scale : 1.0;
  c.verdict = !isfinite(c.loss)                              ? StepVerdict::bad_loss
              : !(c.lr >= 0 && c.lr <= StepControl::max_lr)  ? StepVerdict::bad_lr
              : !(c.grad_norm <= StepControl::max_grad_norm) ? StepVerdict::bad_gradient
              : !isfinite(of_statistics.sum)                 ? StepVerdict::bad_statistics
                                                             : StepVerdict::commit;
  if (c.verdict == StepVerdict::commit) {
    const auto t = static_cast<double>(++c.steps);
    c.step_size = c.lr / (1 - pow(beta1, t));
    c.root_factor = 1 / sqrt(1 - pow(beta2, t));
  }
  *control = c;
}

}  // namespace

void begin_step(StepControl* control, double lr, double clip_norm) {
  launch(begin_step_kernel, Grid{}, Grid{}, control, lr, clip_norm);
}

void add_loss(StepControl* control, const double* loss, double share) {
  launch(add_loss_kernel, Grid{}, Grid{}, control, loss, share);
}

void decide(StepControl* control, double beta1, double beta2, SquareSums gradients, SquareSums statistics,
            std::int64_t passes) {
  launch(decide_kernel, Grid{}, Grid{block_threads, 1, 1}, control, beta1, beta2, gradients, statistics, passes);
}

}  // namespace unet::kernels::cuda
