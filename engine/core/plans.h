// The convolution plans of a process: planned once for each (pass, spec, shape, dtype), then run from the cache. The
// workspace is one block of pool memory, as large as the hungriest plan, shared by all (convolutions run one at a
// time).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "kernels/conv_plan.h"

namespace unet {

/// What may provide convolutions from now on (`--conv`); forgets the plans made so far.
void set_conv_provider(kernels::ConvProvider provider);

/// Whether f32 convolutions on CUDA may round their operands to TF32 (no, unless asked for); forgets the plans.
void set_conv_tf32(bool allowed);
/// Whether conv_seconds() is to hold on a device with a queue of its own: each convolution is waited for. Benchmarks.
void set_conv_timing(bool on);

/// Plans (or finds) and runs one pass. Throws Error if the provider in force cannot do it.
void run_conv(kernels::ConvPass pass, const kernels::ConvSpec& spec, const kernels::ConvShape& shape, Dtype dtype,
              Device device, const kernels::ConvOperands& operands);

/// Seconds spent inside convolutions so far, and how often each plan ran; for the benchmarks.
struct PlanUse {
  kernels::ConvPass pass;
  kernels::ConvSpec spec;
  kernels::ConvShape shape;
  std::string id;
  std::uint64_t runs = 0;
  double seconds = 0;
};
std::vector<PlanUse> conv_plan_uses();
double conv_seconds();

}  // namespace unet
