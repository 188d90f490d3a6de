#include "engine/train/optimizer.h"

#include <cmath>

#include "engine/core/error.h"
#include "kernels/grad_norm.h"
#include "kernels/running_stats.h"

namespace unet {
namespace {
constexpr double kMomentum = 0.1;  // of running statistics: torch.nn.BatchNorm2d's default
constexpr double kMaxLr = 1e4;
constexpr double kMaxNorm = 1e18;
}  // namespace

Adam::Adam(Parameters& parameters, const kernels::AdamSpec& spec)
    : parameters_(parameters),
      spec_(spec),
      m_(Tensor::zeros(parameters.values().shape(), parameters.dtype(), parameters.device())),
      v_(Tensor::zeros(parameters.values().shape(), parameters.dtype(), parameters.device())) {}

StepResult Adam::commit(double loss, double lr, double clip_norm) {
  StepResult result;
  result.loss = loss;
  parameters_.complete_gradients();
  result.grad_norm = std::sqrt(kernels::cpu::sum_of_squares(parameters_.gradients().const_view()));
  double statistics = 0;
  for (const Tensor& pending : parameters_.pending()) {
    statistics += kernels::cpu::sum_of_squares(pending.const_view());
  }

  if (!std::isfinite(loss)) {
    result.reason = fmt::format("the loss is {}", loss);
  } else if (!(lr >= 0 && lr <= kMaxLr)) {
    result.reason = fmt::format("the learning rate is {}", lr);
  } else if (!(result.grad_norm <= kMaxNorm)) {
    result.reason = fmt::format("the gradient of \"{}\" is not finite or too large", first_bad_gradient());
  } else if (!std::isfinite(statistics)) {
    result.reason = "the statistics of a batch norm are not finite";
  }
  result.committed = result.reason.empty();
  if (result.committed) {
    kernels::AdamSpec spec = spec_;
    spec.lr = lr;
    // clip_grad_norm_: norm * (clip / (norm + 1e-6)), never up
    const double scale = clip_norm > 0 ? std::min(1.0, clip_norm / (result.grad_norm + 1e-6)) : 1.0;
    kernels::cpu::adam(spec, steps_ + 1, scale, parameters_.gradients().const_view(), parameters_.values().view(),
                       m_.view(), v_.view());
    for (const Tensor& pending : parameters_.pending()) {
      kernels::cpu::update_running_stats(kMomentum, pending.const_view(), parameters_.running().view());
      for (Parameters::Stats& stats : parameters_.stats()) ++stats.batches_tracked;
    }
    ++steps_;
  }
  parameters_.end_step();
  return result;
}

std::string Adam::first_bad_gradient() const {
  for (std::size_t i = 0; i < parameters_.params().size(); ++i) {
    const ParamId id{static_cast<int>(i)};
    const double norm = std::sqrt(kernels::cpu::sum_of_squares(parameters_.gradient(id).const_view()));
    if (!(norm <= kMaxNorm)) return parameters_.name(id);
  }
  return "all parameters together";
}

}  // namespace unet
