// The convolution plans of a process: planned once for each ConvCase, then run from the cache. The workspace is one
// block of pool memory, as large as the hungriest plan, shared by all (convolutions run one at a time).
//
// A choice is made by the first of these that applies: a choice made before and replayed here; where timing is asked
// for, what it chose in an earlier process, or timing; the back end's fixed rule. So a run whose choices are saved can
// be repeated byte for byte.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "kernels/conv_plan.h"

namespace unet {

/// What may provide convolutions from now on (`--conv`); forgets the plans made so far.
void set_conv_provider(kernels::ConvProvider provider);

/// Whether f32 convolutions on CUDA, transposed ones too, may round their operands to TF32 (no, unless asked for);
/// forgets the plans.
void set_conv_tf32(bool allowed);
/// What set_conv_tf32 said.
bool conv_tf32();
/// Whether conv_seconds() is to hold on a device with a queue of its own: each convolution is waited for. Benchmarks.
void set_conv_timing(bool on);
/// Whether a pass met for the first time is run by every candidate and given to the fastest (`--autotune`;
/// plan_race.h): on a device of five runs by its own clock, in three rounds; on the CPU of one, a large one from
/// memory, in seven, where only what takes less than 0.95 of the rule's choice replaces it, and nothing that runs on
/// threads of its own. A candidate that fails is left out. Forgets the plans.
void set_conv_autotune(bool on);

/// Plans (or finds) and runs one pass. x, y and dy may be slices: a plan that takes none works on dense copies.
/// With a scale the weights are the masters: a plan that takes none reads scaled copies of them.
/// Throws Error if the provider in force cannot do it, or a replayed choice is not to be had.
/// of.tf32 is decided here.
void run_conv(kernels::ConvCase of, Device device, const kernels::ConvOperands& operands);

/// One choice: everything that it depends on, and its outcome.
struct PlanChoice {
  kernels::ConvCase of;
  Device device;
  std::string machine;  // as conv_machine(device) says
  std::string id;

  bool operator==(const PlanChoice&) const = default;
};
/// Instruction set or GPU, and library versions, that a choice was made for.
std::string conv_machine(Device device);
/// All choices in the cache, in an order that depends on nothing else; replayed ones that no pass has met included.
std::vector<PlanChoice> conv_plan_choices();
/// From now on these hold; forgets the plans made so far. Throws Error if one was made for another machine.
void replay_conv_plans(const std::vector<PlanChoice>& choices);
/// The same for what no replayed choice holds for yet.
void add_conv_plans(const std::vector<PlanChoice>& choices);

/// Earlier choices of timing, in the place of timing. One that is not to be had, or fails when it is tried, is timed
/// all the same, and `refused` is told the reason.
void offer_conv_plans(const std::vector<PlanChoice>& choices, std::function<void(const std::string& reason)> refused);
/// What timing has chosen since the last call.
std::vector<PlanChoice> take_timed_conv_plans();

/// Seconds spent inside convolutions so far, and how often each plan ran; for the benchmarks.
struct PlanUse {
  kernels::ConvCase of;
  std::string id;
  std::uint64_t runs = 0;
  double seconds = 0;
};
std::vector<PlanUse> conv_plan_uses();
double conv_seconds();

}  // namespace unet
