#include "engine/train/optimizer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/core/device_memory.h"
#include "engine/core/error.h"

namespace unet {

const char* name_of(OptimizerKind kind) { return kind == OptimizerKind::adam ? "adam" : "sgd"; }

Optimizer::Optimizer(std::string name, Parameters& parameters, double weight_decay, Decay decay,
                     std::size_t clock_bytes)
    : name_(std::move(name)), parameters_(parameters), clock_bytes_(clock_bytes) {
  std::vector<Parameters::Param> params = parameters.params();
  std::sort(params.begin(), params.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  for (const Parameters::Param& param : params) {
    const double own = decay == Decay::all || param.shape.rank() > 1 ? weight_decay : 0;
    const bool goes_on =
        !stretches_.empty() && stretches_.back().group == param.group && stretches_.back().weight_decay == own;
    if (goes_on) continue;
    if (!stretches_.empty()) stretches_.back().end = param.offset;
    stretches_.push_back({param.offset, parameters.values().size(), param.group, own});
  }
  set_group_steps(std::vector<std::int64_t>(parameters.groups().size()));
}

void Optimizer::add_moment(const std::string& name, double low, double high) {
  const Tensor& like = parameters_.values();
  moments_.push_back({name, Tensor::zeros(like.shape(), like.dtype(), like.device()), low, high});
}

kernels::View Optimizer::part(const Tensor& range, const Stretch& stretch) const {
  const std::int64_t end = range.defined() ? std::min(stretch.end, range.size()) : 0;
  return stretch.begin < end ? range.range(stretch.begin, {end - stretch.begin}).view() : kernels::View();
}

void Optimizer::update(const kernels::StepControl* control, const kernels::Ranges& gradients) {
  const std::vector<Parameters::Group>& groups = parameters_.groups();
  for (std::size_t group = 0; group < groups.size(); ++group) {
    if (groups[group].trainable) advance(group, control);
  }
  for (const Stretch& stretch : stretches_) {
    if (groups[stretch.group].trainable) move(stretch, control, gradients.slice(stretch.begin, stretch.end));
  }
}

std::vector<std::int64_t> Optimizer::steps_of(const std::byte* clocks) const {
  std::vector<std::int64_t> steps(parameters_.groups().size());
  for (std::size_t group = 0; group < steps.size(); ++group) {
    std::memcpy(&steps[group], clocks + group * clock_bytes_, sizeof steps[group]);
  }
  return steps;
}

std::vector<std::int64_t> Optimizer::group_steps() const {
  std::vector<std::byte> clocks(clocks_.bytes());
  download(clocks.data(), clocks_.data<void>(), parameters_.device(), clocks.size());
  return steps_of(clocks.data());
}

void Optimizer::set_group_steps(const std::vector<std::int64_t>& steps) {
  if (steps.size() != parameters_.groups().size()) {
    throw Error("{}: steps of {} groups for {} groups of parameters", name_, steps.size(), parameters_.groups().size());
  }
  std::vector<std::byte> clocks(steps.size() * clock_bytes_);
  for (std::size_t group = 0; group < steps.size(); ++group) {
    std::memcpy(clocks.data() + group * clock_bytes_, &steps[group], sizeof steps[group]);
  }
  const auto size = static_cast<std::int64_t>(clocks.size() / sizeof(double));
  clocks_ = Tensor::copy_of({size}, Dtype::f64, clocks.data(), parameters_.device());
}

std::int64_t Optimizer::steps() const {
  const std::vector<std::int64_t> steps = group_steps();
  return steps.empty() ? 0 : *std::max_element(steps.begin(), steps.end());
}

}  // namespace unet
