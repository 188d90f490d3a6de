#include "kernels/step_control.h"

#include <algorithm>
#include <cmath>

namespace unet::kernels::cpu {
namespace {

SquareSum total(SquareSums sums) {
  SquareSum out;
  for (std::int64_t i = 0; i < sums.count; ++i) {
    out.sum += sums.of[i].sum;
    if (out.first_bad < 0) out.first_bad = sums.of[i].first_bad;
  }
  return out;
}

}  // namespace

void decide(StepControl* control, const StepInputs& inputs, SquareSums gradients, SquareSums statistics,
            std::int64_t ranges) {
  StepControl& c = *control;
  c.lr = *inputs.lr;
  c.loss = 0;
  for (std::int64_t i = 0; i < inputs.passes; ++i) c.loss += inputs.losses[i] * inputs.shares[i];
  const SquareSum of_gradients = total(gradients);
  c.grad_norm = std::sqrt(of_gradients.sum);
  c.first_bad_gradient = of_gradients.first_bad;
  c.first_bad_statistic = -1;
  c.grad_scale = *inputs.clip_norm > 0 ? std::min(1.0, *inputs.clip_norm / (c.grad_norm + 1e-6)) : 1.0;
  bool finite_statistics = true;
  for (std::int64_t i = 0; i < ranges && finite_statistics; ++i) {
    const SquareSum of_range = total({statistics.of + i * statistics.count, statistics.count});
    finite_statistics = std::isfinite(of_range.sum);
    c.first_bad_statistic = of_range.first_bad;
  }
  c.verdict = !std::isfinite(c.loss)                        ? StepVerdict::bad_loss
              : !(c.lr >= 0 && c.lr <= StepControl::kMaxLr) ? StepVerdict::bad_lr
              : !(c.grad_norm <= StepControl::kMaxGradNorm) ? StepVerdict::bad_gradient
              : !finite_statistics                          ? StepVerdict::bad_statistics
                                                            : StepVerdict::commit;
}

}  // namespace unet::kernels::cpu
