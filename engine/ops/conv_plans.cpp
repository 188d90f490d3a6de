#include "engine/ops/conv_plans.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/core/cuda_memory.h"
#include "engine/core/dispatch.h"
#include "engine/core/stopwatch.h"
#include "engine/ops/plan_race.h"
#include "kernels/cpu/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/fold_norm.h"

namespace unet {
namespace {

using kernels::ConvCase;
using kernels::ConvOperands;
using kernels::ConvPlan;

/// What a choice is made for.
struct Case {
  ConvCase of;
  Device device;

  auto operator<=>(const Case&) const = default;
};
/// A plan also knows its threads.
using Key = std::pair<Case, int>;

struct Entry {
  ConvPlan plan;
  std::uint64_t runs = 0;
  double seconds = 0;
};

struct Cache {
  kernels::ConvProvider provider = kernels::ConvProvider::automatic;
  bool tf32 = false;
  bool timed = false;
  bool autotune = false;
  std::map<Case, PlanChoice> chosen_before, offered;
  std::function<void(const std::string&)> refused;  // an offer
  std::vector<PlanChoice> newly_timed;
  std::map<Key, Entry> entries;
  Tensor workspace;
  double seconds = 0;
};

Cache& cache() {
  static Cache& instance = *new Cache;  // never destroyed: pool blocks may be released after main
  return instance;
}

ConvPlan plan_by_rule(const Case& c) {
  if constexpr (kHasCuda) {
    if (!c.device.is_cpu()) return cuda::plan_conv(c.of);
  }
  return cpu::plan_conv(c.of, cache().provider);
}

void run(const ConvPlan& plan, Device device, const ConvOperands& operands) {
  Tensor& workspace = cache().workspace;
  const auto needed = static_cast<std::int64_t>(plan.workspace);
  if (needed > 0 && (!workspace.defined() || workspace.size() < needed || workspace.device() != device)) {
    workspace = Tensor();  // its memory can be part of the larger one's
    workspace = Tensor::empty({needed}, Dtype::u8, device);
  }
  ConvOperands given = operands;
  Tensor scaled, dense_x, dense_y, dense_dy;
  if (operands.scale && !plan.scales_y) {
    const kernels::ConstView& w = operands.weights;
    scaled = Tensor::empty({w.n(), w.h(), w.w(), w.c()}, device.is_cpu() ? w.dtype : operands.x.dtype, device);
    dispatch<cpu::scale_filters, cuda::scale_filters>(device, w, operands.scale, scaled.view());
    given.weights = scaled.const_view();
    given.scale = {};
  }
  const auto needs_copy = [&](const kernels::Extent& view) { return !view.dense() && !plan.takes_slices; };
  const auto dense_like = [&](const kernels::Extent& view) {
    return Tensor::empty({view.n(), view.h(), view.w(), view.c()}, view.dtype, device);
  };
  const auto make_dense = [&](kernels::ConstView& view, Tensor& memory) {
    if (!needs_copy(view)) return;
    memory = dense_like(view);
    dispatch<cpu::copy, cuda::copy>(device, view, memory.view());
    view = memory.const_view();
  };
  make_dense(given.x, dense_x);
  make_dense(given.dy, dense_dy);
  if (needs_copy(operands.y)) {
    dense_y = dense_like(operands.y);
    given.y = dense_y.view();
  }
  plan.run(given, workspace.data<void>());
  if (dense_y.defined()) dispatch<cpu::copy, cuda::copy>(device, dense_y.const_view(), operands.y);
}

double seconds_of(const auto& work) {
  const Stopwatch watch;
  work();
  return watch.seconds();
}

/// Pushes what lies in the CPU's caches out of them: within a network, what a convolution reads has not just been read.
void empty_caches(std::vector<float>& others) {
  const kernels::cpu::Blocks blocks = kernels::cpu::cut(static_cast<std::int64_t>(others.size()), 1 << 14, 1024);
  kernels::cpu::parallel_for(blocks.count, [&](std::int64_t block) {
    for (std::int64_t i = blocks.begin(block); i < blocks.end(block); ++i) others[static_cast<std::size_t>(i)] += 1;
  });
}

/// The fastest candidate. They run on the operands at hand, whose outputs are overwritten anyway. One that fails is
/// left out: a library may plan what it then cannot run.
ConvPlan plan_by_timing(const Case& c, const ConvOperands& operands) {
  std::vector<ConvPlan> plans = dispatch<cpu::plan_conv_candidates, cuda::plan_conv_candidates>(c.device, c.of);
  const auto once = [&](std::size_t i) { run(plans[i], c.device, operands); };
  const auto seconds_of_runs = [&](std::size_t i, [[maybe_unused]] int runs) {
    if constexpr (kHasCuda) {
      if (!c.device.is_cpu()) return cuda_memory::seconds_of(runs, [&] { once(i); });
    }
    return seconds_of([&] { once(i); });
  };
  const auto trial = [&](std::size_t i) {
    once(i);  // loads its kernels
    return seconds_of_runs(i, 1);
  };
  std::optional<std::size_t> best;
  if (c.device.is_cpu()) {
    const ConvPlan rule = plan_by_rule(c);
    std::stable_partition(plans.begin(), plans.end(), [&](const ConvPlan& plan) { return plan.id == rule.id; });
    // What threads of their own cost is not in the time of the convolution that leaves them spinning.
    std::erase_if(plans, [&](const ConvPlan& plan) { return plan.foreign_threads && !rule.foreign_threads; });
    const kernels::ConvShape& shape = c.of.shape;
    const std::int64_t values = shape.N * (shape.H * shape.W * shape.Cin + c.of.Ho() * c.of.Wo() * shape.Cout) +
                                shape.Cout * shape.taps() * shape.Cin;
    const bool large = values > std::int64_t{1} << 20;  // the layer before leaves less than that in the caches anyway
    std::vector<float> others(large ? std::size_t{12} << 20 : 0);  // 48 MiB
    best = fastest(plans.size(), {.rounds = 7, .share = 0.95}, trial, [&](std::size_t i) {
      empty_caches(others);
      return seconds_of_runs(i, 1);
    });
  } else {
    best =
        fastest(plans.size(), {.rounds = 3, .share = 1}, trial, [&](std::size_t i) { return seconds_of_runs(i, 5); });
  }
  if (!best) return plan_by_rule(c);  // which says why there is none
  return std::move(plans[*best]);
}

ConvPlan plan_by_id(const Case& c, const std::string& id) {
  return dispatch<cpu::plan_conv_by_id, cuda::plan_conv_by_id>(c.device, c.of, id);
}

/// What was offered, tried; nothing if it will not do.
std::optional<ConvPlan> plan_by_offer(const Case& c, const ConvOperands& operands) {
  const auto offer = cache().offered.find(c);
  if (offer == cache().offered.end()) return std::nullopt;
  try {
    ConvPlan plan = plan_by_id(c, offer->second.id);
    run(plan, c.device, operands);
    return plan;
  } catch (const kernels::cuda::CudaError&) {
    throw;  // the device is lost
  } catch (const std::exception& reason) {
    cache().refused(reason.what());
    return std::nullopt;
  }
}

ConvPlan make_plan(const Case& c, const ConvOperands& operands) {
  const auto before = cache().chosen_before.find(c);
  if (before != cache().chosen_before.end()) return plan_by_id(c, before->second.id);
  if (!cache().autotune) return plan_by_rule(c);
  if (std::optional<ConvPlan> offered = plan_by_offer(c, operands)) return *std::move(offered);
  ConvPlan plan = plan_by_timing(c, operands);
  cache().newly_timed.push_back({c.of, c.device, conv_machine(c.device), plan.id});
  return plan;
}

Entry& find_or_plan(const Case& c, const ConvOperands& operands) {
  const Key key{c, kernels::cpu::threads()};
  if (const auto found = cache().entries.find(key); found != cache().entries.end()) return found->second;
  try {
    return cache().entries.emplace(key, Entry{make_plan(c, operands)}).first->second;
  } catch (const std::invalid_argument& reason) {
    throw Error("{}", reason.what());
  }
}

}  // namespace

void set_conv_provider(kernels::ConvProvider provider) {
  cache().provider = provider;
  cache().entries.clear();
}

void set_conv_tf32(bool allowed) {
  cache().tf32 = allowed;
  cache().entries.clear();
}

bool conv_tf32() { return cache().tf32; }

void set_conv_timing(bool on) { cache().timed = on; }

void set_conv_autotune(bool on) {
  cache().autotune = on;
  cache().entries.clear();
}

void run_conv(ConvCase of, Device device, const ConvOperands& operands) {
  of.tf32 = cache().tf32 && !device.is_cpu() && of.dtype == Dtype::f32;
  Entry& entry = find_or_plan({of, device}, operands);
  const bool timed = cache().timed;
  if (timed) synchronize(device);
  const double seconds = seconds_of([&] {
    run(entry.plan, device, operands);
    if (timed) synchronize(device);
  });
  ++entry.runs;
  entry.seconds += seconds;
  cache().seconds += seconds;
}

std::string conv_machine(Device device) { return device.is_cpu() ? cpu::conv_machine() : choose_device("cuda").text; }

std::vector<PlanChoice> conv_plan_choices() {
  std::map<Case, PlanChoice> all = cache().chosen_before;
  std::map<Device, std::string> machine;
  for (const auto& [key, entry] : cache().entries) {
    const auto& [of, device] = key.first;
    std::string& text = machine[device];
    if (text.empty()) text = conv_machine(device);
    all[key.first] = {of, device, text, entry.plan.id};
  }
  std::vector<PlanChoice> out;
  for (const auto& [key, choice] : all) out.push_back(choice);
  return out;
}

void replay_conv_plans(const std::vector<PlanChoice>& choices) {
  cache().chosen_before.clear();
  add_conv_plans(choices);
}

void add_conv_plans(const std::vector<PlanChoice>& choices) {
  for (const PlanChoice& c : choices) {
    if (const std::string here = conv_machine(c.device); c.machine != here) {
      throw Error("the choice of convolutions was made for \"{}\", this is \"{}\"", c.machine, here);
    }
  }
  for (const PlanChoice& c : choices) cache().chosen_before.try_emplace({c.of, c.device}, c);
  cache().entries.clear();
}

void offer_conv_plans(const std::vector<PlanChoice>& choices, std::function<void(const std::string&)> refused) {
  cache().offered.clear();
  for (const PlanChoice& c : choices) cache().offered[{c.of, c.device}] = c;
  cache().refused = std::move(refused);
}

std::vector<PlanChoice> take_timed_conv_plans() { return std::exchange(cache().newly_timed, {}); }

std::vector<PlanUse> conv_plan_uses() {
  std::vector<PlanUse> out;
  for (const auto& [key, entry] : cache().entries) {
    out.push_back({key.first.of, entry.plan.id, entry.runs, entry.seconds});
  }
  return out;
}

double conv_seconds() { return cache().seconds; }

}  // namespace unet
