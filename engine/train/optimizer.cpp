#include "engine/train/optimizer.h"

#include <cmath>
#include <cstring>

#include "engine/core/dispatch.h"
#include "engine/core/error.h"
#include "kernels/grad_norm.h"
#include "kernels/running_stats.h"

namespace unet {
namespace {

using kernels::SquareSum;
using kernels::StepControl;
using kernels::StepVerdict;

constexpr double kMomentum = 0.1;  // of running statistics: torch.nn.BatchNorm2d's default
constexpr std::int64_t kControlSize = sizeof(StepControl) / sizeof(double);

std::int64_t square_sums(const kernels::Ranges& x, Device device) {
  return dispatch<cpu::square_sums, cuda::square_sums>(device, x);
}

void sum_of_squares(const kernels::Ranges& x, Device device, SquareSum* sums) {
  dispatch<cpu::sum_of_squares, cuda::sum_of_squares>(device, x, sums);
}

kernels::Ranges ranges_of(const std::vector<Tensor>& parts) {
  return parts.size() == 1 ? kernels::Ranges(parts[0].view())
                           : kernels::Ranges(parts.at(0).const_view(), parts.at(1).const_view());
}

}  // namespace

Adam::Adam(Parameters& parameters, const kernels::AdamSpec& spec)
    : parameters_(parameters),
      spec_(spec),
      m_(Tensor::zeros(parameters.values().shape(), parameters.dtype(), parameters.device())),
      v_(Tensor::zeros(parameters.values().shape(), parameters.dtype(), parameters.device())) {
  set_steps(0);
}

void Adam::set_steps(std::int64_t steps) {
  StepControl control;
  control.steps = steps;
  control_ = Tensor::copy_of({kControlSize}, Dtype::f64, &control, parameters_.device());
  steps_ = steps;
}

void Adam::commit(const std::vector<Tensor>& losses, double lr, double clip_norm, const std::vector<double>& shares) {
  if (!shares.empty() && shares.size() != losses.size()) {
    throw Error("commit: {} shares for {} losses", shares.size(), losses.size());
  }
  const Device device = parameters_.device();
  const std::vector<Tensor>& pending = parameters_.pending();
  const auto passes = static_cast<std::int64_t>(pending.size());
  parameters_.complete_gradients();
  const std::vector<Tensor> parts = parameters_.gradients();
  const kernels::Ranges gradients = ranges_of(parts), statistics = parameters_.running().view();
  const std::int64_t of_gradients = square_sums(gradients, device), of_pass = square_sums(statistics, device);
  const std::int64_t all = of_gradients + passes * of_pass;
  const Scratch memory(static_cast<std::size_t>(all) * sizeof(SquareSum), device);
  auto* const sums = static_cast<SquareSum*>(memory.data());
  sum_of_squares(gradients, device, sums);
  for (std::int64_t i = 0; i < passes; ++i) {
    sum_of_squares(pending[static_cast<std::size_t>(i)].view(), device, sums + of_gradients + i * of_pass);
  }

  dispatch<cpu::begin_step, cuda::begin_step>(device, control(), lr, clip_norm);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double share = shares.empty() ? 1.0 / static_cast<double>(losses.size()) : shares[i];
    dispatch<cpu::add_loss, cuda::add_loss>(device, control(), losses[i].data<double>(), share);
  }
  dispatch<cpu::decide, cuda::decide>(device, control(), spec_.beta1, spec_.beta2,
                                      kernels::SquareSums{sums, of_gradients},
                                      kernels::SquareSums{sums + of_gradients, of_pass}, passes);
  dispatch<cpu::adam, cuda::adam>(device, spec_, control(), gradients, parameters_.values().view(), m_.view(),
                                  v_.view(), parameters_.copies().view());
  for (const Tensor& batch : pending) {
    dispatch<cpu::update_running_stats, cuda::update_running_stats>(device, kMomentum, control(), batch.const_view(),
                                                                    parameters_.running().view());
  }
  parameters_.end_step();

  InFlight step{passes, losses.size(), ReadBack(device, sizeof(StepControl) + losses.size() * sizeof(double))};
  step.outcome.add(control(), sizeof(StepControl));
  for (const Tensor& loss : losses) step.outcome.add(loss.data<double>(), sizeof(double));
  step.outcome.finish();
  in_flight_.push_back(std::move(step));
}

std::optional<StepResult> Adam::take_result(std::size_t may_wait) {
  if (in_flight_.size() <= may_wait) return std::nullopt;
  const InFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  const std::byte* bytes = step.outcome.wait();
  StepControl control;
  StepResult result;
  result.losses.resize(step.losses);
  std::memcpy(&control, bytes, sizeof control);
  std::memcpy(result.losses.data(), bytes + sizeof control, step.losses * sizeof(double));
  result.loss = control.loss;
  result.grad_norm = control.grad_norm;
  result.committed = control.verdict == StepVerdict::commit;
  steps_ = control.steps;
  if (result.committed) {
    for (Parameters::Stats& stats : parameters_.stats()) stats.batches_tracked += step.passes;
  } else {
    result.reason = reason_of(control);
  }
  return result;
}

std::string Adam::reason_of(const StepControl& control) const {
  // Statistics are seen in the order of the forward pass: the first bad one is the nearest to where it began.
  std::string where;
  if (control.first_bad_statistic >= 0) {
    where = fmt::format("; the first layer with values that are not finite is \"{}\"",
                        parameters_.stats_at(control.first_bad_statistic).name);
  } else if (control.first_bad_gradient >= 0) {
    where = fmt::format("; the first gradient that is not finite is that of \"{}\"",
                        parameters_.param_at(control.first_bad_gradient).name);
  }
  switch (control.verdict) {
    case StepVerdict::bad_loss:
      return fmt::format("the loss is {}{}", std::isnan(control.loss) ? "nan" : "infinite", where);
    case StepVerdict::bad_lr:
      return fmt::format("the learning rate is {}", control.lr);
    case StepVerdict::bad_gradient:
      return fmt::format("the gradients' norm is {:.3e}{}", control.grad_norm, where);
    case StepVerdict::bad_statistics:
      return "statistics of batch norms are not finite" + where;
    case StepVerdict::commit:
      break;
  }
  return "";
}

}  // namespace unet
