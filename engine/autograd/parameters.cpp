#include "engine/autograd/parameters.h"

#include <algorithm>

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

void fill_uniform(const Tensor& out, double bound, std::uint64_t key) {
  kernels::dispatch_float(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* values = out.data<T>();
    const kernels::cpu::Blocks blocks = kernels::cpu::cut(out.size(), 1 << 14);
    kernels::cpu::parallel_for(blocks.count, [&](std::int64_t block) {
      for (std::int64_t i = blocks.begin(block); i < blocks.end(block); ++i) {
        const double unit = static_cast<double>(mix64(key ^ static_cast<std::uint64_t>(i)) >> 11) * 0x1p-53;
        values[i] = static_cast<T>(bound * (2 * unit - 1));
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

ParamId Parameters::add(const std::string& name, const Shape& shape, Init init) {
  require_new(name);
  params_.push_back({name, shape, init, 0});
  return {static_cast<int>(params_.size()) - 1};
}

StatsId Parameters::add_stats(const std::string& name, std::int64_t channels) {
  require_new(name);
  stats_.push_back({name, channels, 0, 0, 0});
  return {static_cast<int>(stats_.size()) - 1};
}

void Parameters::initialize(std::uint64_t seed) {
  std::int64_t total = 0;
  for (Param& param : params_) {
    param.offset = total;
    total += aligned(param.shape.size(), dtype_);
  }
  const Tensor values = Tensor::zeros({total}, dtype_);  // drawn on the host: the same on every device
  has_gradient_.assign(params_.size(), false);

  std::int64_t running = 0;
  for (Stats& stats : stats_) {
    stats.mean_offset = running;
    stats.variance_offset = running + aligned(stats.channels, dtype_);
    stats.batches_tracked = 0;
    running = stats.variance_offset + aligned(stats.channels, dtype_);
  }
  const Tensor statistics = Tensor::zeros({std::max<std::int64_t>(1, running)}, dtype_);

  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Tensor out = slice(values, params_[i]);
    if (params_[i].init.bound > 0) {
      fill_uniform(out, params_[i].init.bound, random_bits(seed, Purpose::init, i));
    } else {
      kernels::cpu::fill(out.view(), params_[i].init.constant);
    }
  }
  for (const Stats& stats : stats_) {
    kernels::cpu::fill(statistics.range(stats.variance_offset, {stats.channels}).view(), 1.0);
  }
  values_ = values.to(device_);
  running_ = statistics.to(device_);
  gradients_ = Tensor::zeros({total}, dtype_, device_);
  if (with_copies_) copies_ = Tensor::empty({total}, Dtype::bf16, device_);
  pending_.clear();
  values_changed();
}

void Parameters::values_changed() {
  if (with_copies_) dispatch<cpu::copy, cuda::copy>(device_, values_.const_view(), copies_.view());
}

std::int64_t Parameters::count() const {
  std::int64_t total = 0;
  for (const Param& param : params_) total += param.shape.size();
  return total;
}

const Parameters::Param& Parameters::param_at(std::int64_t element) const {
  return *std::prev(std::upper_bound(params_.begin(), params_.end(), element,
                                     [](std::int64_t at, const Param& param) { return at < param.offset; }));
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
  if (!pending_.empty()) {
    out.pending_mean = pending_.back().range(stats.mean_offset, {stats.channels});
    out.pending_variance = pending_.back().range(stats.variance_offset, {stats.channels});
  }
  return out;
}

void Parameters::begin_pass() { pending_.push_back(Tensor::zeros(running_.shape(), dtype_, device_)); }

void Parameters::end_step() {
  has_gradient_.assign(params_.size(), false);
  pending_.clear();
}

void Parameters::complete_gradients() {
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Tensor slot = gradient({static_cast<int>(i)});
    if (!has_gradient_[i]) dispatch<cpu::fill, cuda::fill>(device_, slot.view(), 0.0);
  }
}

}  // namespace unet
