#include "engine/train/adam.h"

#include <algorithm>

#include "engine/core/device_memory.h"
#include "engine/core/dispatch.h"

namespace unet {

using kernels::AdamClock;

Adam::Adam(Parameters& parameters, const kernels::AdamSpec& spec, Decay decay)
    : parameters_(parameters),
      spec_(spec),
      m_(Tensor::zeros(parameters.values().shape(), parameters.dtype(), parameters.device())),
      v_(Tensor::zeros(parameters.values().shape(), parameters.dtype(), parameters.device())) {
  std::vector<Parameters::Param> params = parameters.params();
  std::sort(params.begin(), params.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  for (const Parameters::Param& param : params) {
    const bool decayed = spec.weight_decay != 0 && (decay == Decay::all || param.shape.rank() > 1);
    const bool goes_on =
        !stretches_.empty() && stretches_.back().group == param.group && stretches_.back().decayed == decayed;
    if (goes_on) continue;
    if (!stretches_.empty()) stretches_.back().end = param.offset;
    stretches_.push_back({param.offset, parameters.values().size(), param.group, decayed});
  }
  set_group_steps(std::vector<std::int64_t>(parameters.groups().size()));
}

kernels::AdamSpec Adam::spec_of(std::size_t group) const {
  kernels::AdamSpec spec = spec_;
  spec.lr_scale = parameters_.groups()[group].lr_scale;
  return spec;
}

void Adam::update(const kernels::StepControl* control, const kernels::Ranges& gradients) {
  const Device device = parameters_.device();
  const std::vector<Parameters::Group>& groups = parameters_.groups();
  auto* const clocks = clocks_.data<AdamClock>();
  for (std::size_t group = 0; group < groups.size(); ++group) {
    if (!groups[group].trainable) continue;
    dispatch<cpu::adam_clock, cuda::adam_clock>(device, spec_of(group), control, clocks + group);
  }
  const std::int64_t copied = parameters_.copies().defined() ? parameters_.copies().size() : 0;
  for (const Stretch& stretch : stretches_) {
    if (!groups[stretch.group].trainable) continue;
    const auto part = [&](const Tensor& range, std::int64_t end) {
      return range.range(stretch.begin, {end - stretch.begin}).view();
    };
    kernels::AdamSpec spec = spec_of(stretch.group);
    if (!stretch.decayed) spec.weight_decay = 0;
    const kernels::View copy =
        stretch.begin < copied ? part(parameters_.copies(), std::min(stretch.end, copied)) : kernels::View();
    dispatch<cpu::adam, cuda::adam>(
        device, spec, control, clocks + stretch.group, gradients.slice(stretch.begin, stretch.end),
        part(parameters_.values(), stretch.end), part(m_, stretch.end), part(v_, stretch.end), copy);
  }
}

std::vector<std::int64_t> Adam::group_steps() const {
  std::vector<AdamClock> clocks(parameters_.groups().size());
  download(clocks.data(), clocks_.data<void>(), parameters_.device(), clocks.size() * sizeof(AdamClock));
  std::vector<std::int64_t> steps;
  for (const AdamClock& clock : clocks) steps.push_back(clock.steps);
  return steps;
}

void Adam::set_group_steps(const std::vector<std::int64_t>& steps) {
  if (steps.size() != parameters_.groups().size()) {
    throw Error("adam: steps of {} groups for {} groups of parameters", steps.size(), parameters_.groups().size());
  }
  std::vector<AdamClock> clocks;
  for (const std::int64_t count : steps) clocks.push_back({.steps = count});
  const auto size = static_cast<std::int64_t>(clocks.size() * sizeof(AdamClock) / sizeof(double));
  clocks_ = Tensor::copy_of({size}, Dtype::f64, clocks.data(), parameters_.device());
}

std::int64_t Adam::steps() const {
  const std::vector<std::int64_t> steps = group_steps();
  return steps.empty() ? 0 : *std::max_element(steps.begin(), steps.end());
}

}  // namespace unet
