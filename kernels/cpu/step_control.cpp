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

void begin_step(StepControl* control, double lr, double clip_norm) {
  control->lr = lr;
  control->clip_norm = clip_norm;
  control->loss = 0;
}

void add_loss(StepControl* control, const double* loss, double share) { control->loss += *loss * share; }

void decide(StepControl* control, double beta1, double beta2, SquareSums gradients, SquareSums statistics,
            std::int64_t passes) {
  StepControl& c = *control;
  const SquareSum of_gradients = total(gradients);
  c.grad_norm = std::sqrt(of_gradients.sum);
  c.first_bad_gradient = of_gradients.first_bad;
  c.first_bad_statistic = -1;
  c.grad_scale = c.clip_norm > 0 ? std::min(1.0, c.clip_norm / (c.grad_norm + 1e-6)) : 1.0;
  bool finite_statistics = true;
  for (std::int64_t i = 0; i < passes && finite_statistics; ++i) {
    const SquareSum of_pass = total({statistics.of + i * statistics.count, statistics.count});
    finite_statistics = std::isfinite(of_pass.sum);
    c.first_bad_statistic = of_pass.first_bad;
  }
  c.verdict = !std::isfinite(c.loss)                         ? StepVerdict::bad_loss
              : !(c.lr >= 0 && c.lr <= StepControl::max_lr)  ? StepVerdict::bad_lr
              : !(c.grad_norm <= StepControl::max_grad_norm) ? StepVerdict::bad_gradient
              : !finite_statistics                           ? StepVerdict::bad_statistics
                                                             : StepVerdict::commit;
  if (c.verdict != StepVerdict::commit) return;
  const auto t = static_cast<double>(++c.steps);
  c.step_size = c.lr / (1 - std::pow(beta1, t));
  c.root_factor = 1 / std::sqrt(1 - std::pow(beta2, t));
}

}  // namespace unet::kernels::cpu
