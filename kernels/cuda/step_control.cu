#include "kernels/step_control.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"

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

__global__ void decide_kernel(StepControl* control, double beta1, double beta2, const SquareSum* gradients,
                              const SquareSum* statistics, std::int64_t passes) {
  StepControl c = *control;
  c.grad_norm = sqrt(gradients->sum);
  c.first_bad_gradient = gradients->first_bad;
  c.first_bad_statistic = -1;
  const double scale = c.clip_norm / (c.grad_norm + 1e-6);
  c.grad_scale = c.clip_norm > 0 && scale < 1 ? scale : 1.0;
  bool finite_statistics = true;
  for (std::int64_t i = 0; i < passes && finite_statistics; ++i) {
    finite_statistics = isfinite(statistics[i].sum);
    c.first_bad_statistic = statistics[i].first_bad;
  }
  c.verdict = !isfinite(c.loss)                              ? StepVerdict::bad_loss
              : !(c.lr >= 0 && c.lr <= StepControl::max_lr)  ? StepVerdict::bad_lr
              : !(c.grad_norm <= StepControl::max_grad_norm) ? StepVerdict::bad_gradient
              : !finite_statistics                           ? StepVerdict::bad_statistics
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

void decide(StepControl* control, double beta1, double beta2, const SquareSum* gradients, const SquareSum* statistics,
            std::int64_t passes) {
  launch(decide_kernel, Grid{}, Grid{}, control, beta1, beta2, gradients, statistics, passes);
}

}  // namespace unet::kernels::cuda
