// Where a program computes and how: --device, --precision, --conv, --autotune, --plans, --threads.
#pragma once

#include <optional>
#include <string>

#include "models/segmenter.h"

namespace unet {

struct MachineOptions {
  std::string device = "auto";     // auto: CUDA where it works, else the CPU
  std::string precision = "auto";  // fp32, tf32 (CUDA), bf16; auto: bf16 or tf32 on a GPU, fp32 on the CPU
  std::string conv = "auto";       // of the CPU
  std::optional<bool> autotune;    // time convolutions instead of following the rule; not given: on a GPU
  std::string plans;               // a file of choices made before
  int threads = 0;                 // 0: all that the affinity mask allows
};

struct Machine : models::Placement {
  std::string text;        // one line: what computes, and why not CUDA if it does not
  std::string precision;   // never auto
  bool autotune = false;   // what was asked for, or is the device's
  std::string arithmetic;  // the same for a person, and why
};

/// Puts the options in force, on a GPU with autotune also what is kept of earlier choices (plan_cache.h). Throws Error
/// if the device is not there or cannot compute in that precision, or if the plans are for another machine.
Machine machine_of(const MachineOptions& options);

/// What a run's promise of sameness is relative to: program, libraries, instruction set or GPU, threads.
std::string sameness_text(const Machine& machine);

}  // namespace unet
