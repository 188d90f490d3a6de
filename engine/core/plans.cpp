#include "engine/core/plans.h"

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <tuple>

#include "engine/core/error.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

using kernels::ConvPass;
using kernels::ConvShape;
using kernels::ConvSpec;

using Key = std::tuple<ConvPass, std::int64_t, std::int64_t, bool, bool, std::int64_t, std::int64_t, std::int64_t,
                       std::int64_t, std::int64_t, std::int64_t, std::int64_t, Dtype, int>;

Key key_of(ConvPass pass, const ConvSpec& spec, const ConvShape& s, Dtype dtype) {
  return {pass, spec.stride, spec.pad, spec.bias, spec.relu, s.N,   s.H,
          s.W,  s.Cin,       s.Cout,   s.Kh,      s.Kw,      dtype, kernels::cpu::threads()};
}

struct Entry {
  kernels::ConvPlan plan;
  PlanUse use;
};

struct Cache {
  kernels::ConvProvider provider = kernels::ConvProvider::automatic;
  std::map<Key, Entry> entries;
  Tensor workspace;
  double seconds = 0;
};

Cache& cache() {
  static Cache& instance = *new Cache;  // never destroyed: pool blocks may be released after main
  return instance;
}

Entry& find_or_plan(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype) {
  const Key key = key_of(pass, spec, shape, dtype);
  if (const auto found = cache().entries.find(key); found != cache().entries.end()) return found->second;
  Entry entry;
  try {
    entry.plan = kernels::cpu::plan_conv(pass, spec, shape, dtype, cache().provider);
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

void run_conv(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype, Device device,
              const kernels::ConvOperands& operands) {
  Entry& entry = find_or_plan(pass, spec, shape, dtype);
  Tensor& workspace = cache().workspace;
  const auto needed = static_cast<std::int64_t>(entry.plan.workspace);
  if (needed > 0 && (!workspace.defined() || workspace.size() < needed)) {
    workspace = Tensor();  // give the old block back before asking for a larger one
    workspace = Tensor::empty({needed}, Dtype::u8, device);
  }
  const auto begin = std::chrono::steady_clock::now();
  entry.plan.run(operands, workspace.data<void>());
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
