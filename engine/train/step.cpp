#include "engine/train/step.h"

#include <algorithm>
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

Step::Step(Parameters& parameters, Optimizer& rule)
    : parameters_(parameters),
      rule_(rule),
      control_(Tensor::zeros({sizeof(StepControl) / sizeof(double)}, Dtype::f64, parameters.device())) {}

void Step::begin(StepSettings settings) {
  under_way_.reset();
  passes_ = 0;
  parameters_.end_step();
  std::int64_t total = 0;
  for (const std::int64_t images : settings.images) {
    if (images < 1) throw Error("begin: a pass of {} images; it needs one at least", images);
    total += images;
  }
  if (total == 0) throw Error("begin: a step needs a pass at least");
  const Device device = parameters_.device();
  if (const auto passes = static_cast<std::int64_t>(settings.images.size()); passes > room_) {
    inputs_ = Tensor::empty({2 + 2 * passes}, Dtype::f64, device);
    room_ = passes;
  }
  std::vector<double> inputs{settings.lr, settings.clip_norm};
  for (const std::int64_t images : settings.images) {
    inputs.push_back(static_cast<double>(images) / static_cast<double>(total));
  }
  upload(inputs_.data<void>(), device, inputs.data(), inputs.size() * sizeof(double));
  under_way_ = std::move(settings);
}

void Step::backward(Tape& tape, const Var& loss) {
  if (!under_way_) throw Error("backward: no step has begun");
  if (const auto passes = static_cast<std::int64_t>(under_way_->images.size()); passes_ == passes) {
    throw Error("backward: the step has no pass left, it was begun with {}", passes);
  }
  const Device device = parameters_.device();
  if (loss.value.defined() && (loss.value.dtype() != Dtype::f64 || loss.value.device() != device)) {
    throw Error("backward: the loss must be f64 on {}, got {} on {}", device.str(),
                kernels::name_of(loss.value.dtype()), loss.value.device().str());
  }
  tape.backward(loss, inputs_.range(2 + passes_, {1}));
  copy_bytes(losses() + passes_, loss.value.data<void>(), device, sizeof(double));
  ++passes_;
}

void Step::commit() {
  if (!under_way_) throw Error("commit: no step has begun");
  const auto passes = static_cast<std::int64_t>(under_way_->images.size());
  if (passes_ != passes) throw Error("commit: {} of the step's {} passes have run", passes_, passes);
  const Device device = parameters_.device();
  const std::vector<Tensor>& pending = parameters_.pending();
  const auto ranges = static_cast<std::int64_t>(pending.size());
  parameters_.complete_gradients();
  const std::vector<Tensor> parts = parameters_.gradients();
  const kernels::Ranges gradients = ranges_of(parts), statistics = parameters_.running().view();
  const std::int64_t of_gradients = square_sums(gradients, device), of_range = square_sums(statistics, device);
  const std::int64_t all = of_gradients + ranges * of_range;
  const Scratch memory(static_cast<std::size_t>(all) * sizeof(SquareSum), device);
  auto* const sums = static_cast<SquareSum*>(memory.data());
  ReadBack outcome = free_.empty() ? ReadBack(device) : std::move(free_.back());
  if (!free_.empty()) free_.pop_back();
  const std::size_t of_losses = static_cast<std::size_t>(passes) * sizeof(double);
  outcome.begin(sizeof(StepControl) + of_losses);  // no memory is asked for from here on
  sum_of_squares(gradients, device, sums);
  for (std::int64_t i = 0; i < ranges; ++i) {
    sum_of_squares(pending[static_cast<std::size_t>(i)].view(), device, sums + of_gradients + i * of_range);
  }
  const auto* const settings = inputs_.data<double>();
  dispatch<cpu::decide, cuda::decide>(
      device, control(), kernels::StepInputs{settings, settings + 1, shares(), losses(), passes},
      kernels::SquareSums{sums, of_gradients}, kernels::SquareSums{sums + of_gradients, of_range}, ranges);
  rule_.update(control(), gradients);
  fold_statistics();
  for (const Follower& follower : followers_) follower(control());

  outcome.add(control(), sizeof(StepControl));
  outcome.add(losses(), of_losses);
  outcome.finish();
  std::vector<std::int64_t> uses;
  for (const Parameters::Stats& stats : parameters_.stats()) uses.push_back(stats.uses);
  in_flight_.push_back({std::move(*under_way_), std::move(uses), std::move(outcome)});
  under_way_.reset();
  parameters_.end_step();
}

void Step::fold_statistics() {
  const std::vector<Parameters::Stats>& all = parameters_.stats();
  for (std::size_t i = 0; i < parameters_.pending().size(); ++i) {
    // A range holds nothing of batch norms that were used less often.
    const auto is_there = [i](const Parameters::Stats& stats) { return stats.uses > static_cast<std::int64_t>(i); };
    for (auto at = std::find_if(all.begin(), all.end(), is_there); at != all.end();) {
      const auto last = std::find_if_not(at, all.end(), is_there);
      const std::int64_t begin = at->mean_offset;
      const Shape size{(last == all.end() ? parameters_.running().size() : last->mean_offset) - begin};
      dispatch<cpu::update_running_stats, cuda::update_running_stats>(
          parameters_.device(), kMomentum, control(), parameters_.pending()[i].range(begin, size).const_view(),
          parameters_.running().range(begin, size).view());
      at = std::find_if(last, all.end(), is_there);
    }
  }
}

std::optional<StepResult> Step::take_result(std::size_t may_wait) {
  if (in_flight_.size() <= may_wait) return std::nullopt;
  InFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  const std::byte* bytes = step.outcome.wait();
  StepControl control;
  StepResult result;
  result.losses.resize(step.settings.images.size());
  std::memcpy(&control, bytes, sizeof control);
  std::memcpy(result.losses.data(), bytes + sizeof control, result.losses.size() * sizeof(double));
  free_.push_back(std::move(step.outcome));
  result.settings = std::move(step.settings);
  result.loss = control.loss;
  result.grad_norm = control.grad_norm;
  result.committed = control.verdict == StepVerdict::commit;
  if (!result.committed) {
    result.reason = reason_of(control);
    return result;
  }
  std::vector<Parameters::Stats>& stats = parameters_.stats();
  for (std::size_t i = 0; i < stats.size(); ++i) stats[i].batches_tracked += step.uses[i];
  return result;
}

std::string Step::reason_of(const StepControl& control) const {
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
