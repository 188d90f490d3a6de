#include "engine/core/plans.h"

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <tuple>

#include "engine/core/dispatch.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

using kernels::ConvPass;
using kernels::ConvShape;
using kernels::ConvSpec;

using Key = std::tuple<ConvPass, std::int64_t, std::int64_t, bool, bool, std::int64_t, std::int64_t, std::int64_t,
                       std::int64_t, std::int64_t, std::int64_t, std::int64_t, Dtype, Device::Type, int>;

Key key_of(ConvPass pass, const ConvSpec& spec, const ConvShape& s, Dtype dtype, Device device) {
  return {pass, spec.stride, spec.pad, spec.bias,   spec.relu,
          s.N,  s.H,         s.W,      s.Cin,       s.Cout,
          s.Kh, s.Kw,        dtype,    device.type, kernels::cpu::threads()};
}

struct Entry {
  kernels::ConvPlan plan;
  PlanUse use;
};

struct Cache {
  kernels::ConvProvider provider = kernels::ConvProvider::automatic;
  bool tf32 = false;
  bool timed = false;
  std::map<Key, Entry> entries;
  Tensor workspace;
  double seconds = 0;
};

Cache& cache() {
  static Cache& instance = *new Cache;  // never destroyed: pool blocks may be released after main
  return instance;
}

kernels::ConvPlan plan_of(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype, Device device) {
  if constexpr (kHasCuda) {
    if (!device.is_cpu()) return cuda::plan_conv(pass, spec, shape, dtype, cache().tf32);
  }
  return cpu::plan_conv(pass, spec, shape, dtype, cache().provider);
}

Entry& find_or_plan(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype, Device device) {
  const Key key = key_of(pass, spec, shape, dtype, device);
  if (const auto found = cache().entries.find(key); found != cache().entries.end()) return found->second;
  Entry entry;
  try {
    entry.plan = plan_of(pass, spec, shape, dtype, device);
  } catch (const std::invalid_argument& reason) {
    throw Error("{}", reason.what());
  }
  entry.use = {pass, spec, shape, entry.plan.id, 0, 0};
  return cache().entries.emplace(key, std::move(entry)).first->second;
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

void set_conv_timing(bool on) { cache().timed = on; }

void run_conv(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype, Device device,
              const kernels::ConvOperands& operands) {
  Entry& entry = find_or_plan(pass, spec, shape, dtype, device);
  Tensor& workspace = cache().workspace;
  const auto needed = static_cast<std::int64_t>(entry.plan.workspace);
  if (needed > 0 && (!workspace.defined() || workspace.size() < needed || workspace.device() != device)) {
    workspace = Tensor();  // give the old block back before asking for a larger one
    workspace = Tensor::empty({needed}, Dtype::u8, device);
  }
  const bool timed = cache().timed;
  if (timed) synchronize(device);
  const auto begin = std::chrono::steady_clock::now();
  entry.plan.run(operands, workspace.data<void>());
  if (timed) synchronize(device);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ++entry.use.runs;
  entry.use.seconds += seconds;
  cache().seconds += seconds;
}

std::vector<PlanUse> conv_plan_uses() {
  std::vector<PlanUse> out;
  for (const auto& [key, entry] : cache().entries) out.push_back(entry.use);
  return out;
}

double conv_seconds() { return cache().seconds; }

}  // namespace unet
