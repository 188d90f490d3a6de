#include "apps/run/machine.h"

#include <tuple>

#include "apps/run/plan_cache.h"
#include "apps/run/version.h"
#include "engine/core/error.h"
#include "engine/ops/conv_plans.h"
#include "engine/ops/plan_file.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

/// What --precision auto is on a device, and why.
std::pair<std::string, std::string> automatic_precision(const DeviceChoice& choice) {
  if (choice.device.is_cpu()) return {"fp32", "fp32 (auto, on a CPU)"};
  if (choice.multiplies_bf16) return {"bf16", "bf16 (auto: this GPU multiplies it; --precision fp32 is strict)"};
  return {"tf32", "tf32 (auto: this GPU does not multiply bf16; --precision fp32 is strict)"};
}

/// How convolutions are chosen, and why.
std::string text_of_autotune(const std::optional<bool>& asked, bool on) {
  if (asked) return on ? "convolutions timed" : "convolutions by rule";
  return on ? "convolutions timed (auto, on a GPU; --no-autotune goes by rule)"
            : "convolutions by rule (auto, on a CPU)";
}

}  // namespace

Machine machine_of(const MachineOptions& options) {
  const DeviceChoice choice = choose_device(options.device);
  Machine out;
  out.device = choice.device;
  out.text = choice.text;
  const bool on_cpu = choice.device.is_cpu();
  out.precision = out.arithmetic = options.precision;
  if (options.precision == "auto") std::tie(out.precision, out.arithmetic) = automatic_precision(choice);
  if (out.precision == "tf32" && on_cpu) {
    throw Error("--precision tf32 is an arithmetic of NVIDIA GPUs, and this runs on {}; use fp32", choice.text);
  }
  if (out.precision == "bf16") {
    out.activations = Dtype::bf16;
    out.bf16_copies = !on_cpu;
  }
  set_conv_tf32(out.precision == "tf32");
  if (options.threads > 0) kernels::cpu::set_threads(options.threads);
  if (options.conv == "direct") set_conv_provider(kernels::ConvProvider::direct);
  if (options.conv == "onednn") set_conv_provider(kernels::ConvProvider::onednn);
  if (options.conv == "own") set_conv_provider(kernels::ConvProvider::own);
  out.autotune = options.autotune.value_or(!on_cpu);
  out.arithmetic += ", " + text_of_autotune(options.autotune, out.autotune);
  set_conv_autotune(out.autotune);
  if (out.autotune && !on_cpu) open_plan_cache();
  if (!options.plans.empty()) {
    const std::vector<PlanChoice> plans = read_plans(options.plans);
    try {
      replay_conv_plans(plans);
    } catch (const Error& error) {
      throw Error("--plans {}: {}; leave --plans out, or choose anew with --autotune", options.plans, error.what());
    }
  }
  return out;
}

std::string sameness_text(const Machine& machine) {
  const std::string where = machine.device.is_cpu() ? "" : ", " + machine.text;
  return fmt::format("{}, {} threads{}", version_text("train_unet"), kernels::cpu::threads(), where);
}

}  // namespace unet
