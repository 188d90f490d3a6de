#include "engine/autograd/parameters.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "engine/core/dispatch.h"
#include "engine/core/rng.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"
#include "kernels/elementwise.h"

namespace unet {
namespace {

std::int64_t aligned(std::int64_t elements, Dtype dtype) {
  const std::int64_t step = 256 / static_cast<std::int64_t>(kernels::size_of(dtype));
  return (elements + step - 1) / step * step;
}

double unit_at(std::uint64_t key, std::int64_t i) {
  return static_cast<double>(mix64(key ^ static_cast<std::uint64_t>(i)) >> 11) * 0x1p-53;
}

double uniform_at(std::uint64_t key, std::int64_t i) { return 2 * unit_at(key, i) - 1; }

/// Box & Muller 1958; of the pair one is taken.
double normal_at(std::uint64_t key, std::int64_t i) {
  const double radius = std::sqrt(-2 * std::log(1 - unit_at(key, 2 * i)));
  return radius * std::cos(2 * std::numbers::pi * unit_at(key, 2 * i + 1));
}

/// out[i] = factor * draw(key, i).
template <class Draw>
void fill_drawn(const Tensor& out, double factor, std::uint64_t key, Draw draw) {
  kernels::dispatch_float(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* values = out.data<T>();
    const kernels::cpu::Blocks blocks = kernels::cpu::cut(out.size(), 1 << 14);
    kernels::cpu::parallel_for(blocks.count, [&](std::int64_t block) {
      for (std::int64_t i = blocks.begin(block); i < blocks.end(block); ++i) {
        values[i] = static_cast<T>(factor * draw(key, i));
      }
    });
  });
}

}  // namespace

void Parameters::require_new(const std::string& name) const {
  if (values_.defined()) throw Error("parameter \"{}\" is declared after initialize()", name);
  for (const Param& param : params_) {
    if (param.name == name) throw Error("parameter \"{}\" is declared twice", name);
  }
  for (const Stats& stats : stats_) {
    if (stats.name == name) throw Error("batch norm \"{}\" is declared twice", name);
  }
}

void Parameters::require_gradients() const {
  if (!for_training_) throw Error("these parameters have no gradients: they are not for training");
}

void Parameters::begin_group(const std::string& name) {
  const auto same = [&](const Group& group) { return group.name == name; };
  const auto found = std::find_if(groups_.begin(), groups_.end(), same);
  group_ = static_cast<std::size_t>(found - groups_.begin());
  if (found == groups_.end()) groups_.push_back({name});
}

Parameters::Group& Parameters::group_named(const std::string& name) {
  const auto same = [&](const Group& one) { return one.name == name; };
  const auto found = std::find_if(groups_.begin(), groups_.end(), same);
  if (found == groups_.end()) throw Error("there is no group \"{}\" of parameters", name);
  return *found;
}

void Parameters::set_trainable(const std::string& group, bool trainable) { group_named(group).trainable = trainable; }
void Parameters::set_lr_scale(const std::string& group, double scale) { group_named(group).lr_scale = scale; }

ParamId Parameters::add(const std::string& name, const Shape& shape, Init init) {
  require_new(name);
  if (groups_.empty()) begin_group("");
  params_.push_back({.name = name, .shape = shape, .init = init, .group = group_});
  return {static_cast<int>(params_.size()) - 1};
}

ParamId Parameters::add_operand(const std::string& name, const Shape& shape, Init init) {
  const ParamId id = add(name, shape, init);
  params_.back().convolution = true;
  return id;
}

StatsId Parameters::add_stats(const std::string& name, std::int64_t channels) {
  require_new(name);
  stats_.push_back({.name = name, .channels = channels});
  return {static_cast<int>(stats_.size()) - 1};
}

void Parameters::initialize(std::uint64_t seed) {
  std::int64_t total = 0;
  for (const bool convolution : {true, false}) {
    for (Param& param : params_) {
      if (param.convolution != convolution) continue;
      param.offset = total;
      total += aligned(param.shape.size(), dtype_);
    }
    if (convolution && with_copies_) copied_ = total;
  }
  const Tensor values = Tensor::zeros({total}, dtype_);  // drawn on the host: the same on every device
  has_gradient_.assign(params_.size(), false);

  std::int64_t running = 0;
  for (Stats& stats : stats_) {
    stats.mean_offset = running;
    stats.variance_offset = running + aligned(stats.channels, dtype_);
    stats.batches_tracked = stats.uses = 0;
    running = stats.variance_offset + aligned(stats.channels, dtype_);
  }
  const Tensor statistics = Tensor::zeros({std::max<std::int64_t>(1, running)}, dtype_);

  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Tensor out = values.range(params_[i].offset, params_[i].shape);
    const Init& init = params_[i].init;
    const std::uint64_t key = random_bits(seed, Purpose::init, i);
    if (!for_training_ && (init.bound > 0 || init.deviation > 0)) continue;
    if (init.bound > 0) {
      fill_drawn(out, init.bound, key, uniform_at);
    } else if (init.deviation > 0) {
      fill_drawn(out, init.deviation, key, normal_at);
    } else {
      kernels::cpu::fill(out.view(), init.constant);
    }
  }
  for (const Stats& stats : stats_) {
    kernels::cpu::fill(statistics.range(stats.variance_offset, {stats.channels}).view(), 1.0);
  }
  values_ = values.to(device_);
  running_ = statistics.to(device_);
  if (copied_ > 0) copies_ = Tensor::empty({copied_}, Dtype::bf16, device_);
  if (for_training_) {
    gradients_ = Tensor::zeros({std::max<std::int64_t>(1, total - copied_)}, dtype_, device_);
    if (copied_ > 0) narrow_ = Tensor::zeros({copied_}, Dtype::bf16, device_);
  }
  sums_ = Tensor();
  wide_ = false;
  pending_.clear();
  values_changed();
}

void Parameters::values_changed() {
  if (!copies_.defined()) return;
  dispatch<cpu::copy, cuda::copy>(device_, values_.range(0, {copied_}).const_view(), copies_.view());
}

void Parameters::exchange(Tensor& values, Tensor& running) {
  std::swap(values_, values);
  std::swap(running_, running);
  values_changed();
}

Tensor Parameters::operand(ParamId id) const {
  return param(id).offset < copied_ ? copies_.range(param(id).offset, param(id).shape) : value(id);
}

Tensor Parameters::gradient(ParamId id) const {
  require_gradients();
  const Param& of = param(id);
  if (of.offset >= copied_) return gradients_.range(of.offset - copied_, of.shape);
  return (wide_ ? sums_ : narrow_).range(of.offset, of.shape);
}

std::vector<Tensor> Parameters::gradients() const {
  require_gradients();
  std::vector<Tensor> out;
  if (copied_ > 0) out.push_back(wide_ ? sums_ : narrow_);
  if (total() > copied_) out.push_back(gradients_);
  return out;
}

Tensor Parameters::gradient_to_add_to(ParamId id) {
  require_gradients();
  if (param(id).offset < copied_ && !wide_) {
    if (!sums_.defined()) sums_ = Tensor::empty({copied_}, dtype_, device_);
    dispatch<cpu::copy, cuda::copy>(device_, narrow_.const_view(), sums_.view());
    wide_ = true;
  }
  return gradient(id);
}

std::int64_t Parameters::count() const {
  std::int64_t total = 0;
  for (const Param& param : params_) total += param.shape.size();
  return total;
}

const Parameters::Param& Parameters::param_at(std::int64_t element) const {
  return *std::max_element(params_.begin(), params_.end(), [element](const Param& a, const Param& b) {
    const auto begins = [element](const Param& param) { return param.offset <= element ? param.offset : -1; };
    return begins(a) < begins(b);
  });
}

const Parameters::Stats& Parameters::stats_at(std::int64_t element) const {
  return *std::prev(std::upper_bound(stats_.begin(), stats_.end(), element,
                                     [](std::int64_t at, const Stats& stats) { return at < stats.mean_offset; }));
}

RunningStats Parameters::running(StatsId id) const {
  const Stats& stats = stats_[static_cast<std::size_t>(id.index)];
  RunningStats out;
  out.mean = running_.range(stats.mean_offset, {stats.channels});
  out.variance = running_.range(stats.variance_offset, {stats.channels});
  return out;
}

RunningStats Parameters::record_statistics(StatsId id) {
  Stats& stats = stats_[static_cast<std::size_t>(id.index)];
  const auto use = static_cast<std::size_t>(stats.uses);
  if (use == pending_.size()) pending_.push_back(Tensor::zeros(running_.shape(), dtype_, device_));
  ++stats.uses;
  RunningStats out = running(id);
  out.pending_mean = pending_[use].range(stats.mean_offset, {stats.channels});
  out.pending_variance = pending_[use].range(stats.variance_offset, {stats.channels});
  return out;
}

void Parameters::end_step() {
  has_gradient_.assign(params_.size(), false);
  pending_.clear();
  for (Stats& stats : stats_) stats.uses = 0;
  wide_ = false;
}

void Parameters::complete_gradients() {
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Tensor slot = gradient({static_cast<int>(i)});
    if (!has_gradient_[i]) dispatch<cpu::fill, cuda::fill>(device_, slot.view(), 0.0);
  }
}

}  // namespace unet
