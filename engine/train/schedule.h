// The learning rate as a pure function of (specification, step, total steps, plateau state). Nothing here keeps time:
// a run resumes by storing the step and the plateau's three numbers.
//
// Warm-up, for every kind, over the steps s = 0 .. warmup-1:  rate(s) = lr * (s + 1) / warmup
// From s = warmup on, with T = total steps of the phase:
//   constant:  lr
//   cosine:    end + (lr - end) * (1 + cos(pi * (s - warmup) / (T - warmup))) / 2,   end = lr * end_fraction
//              (Loshchilov & Hutter 2017, one cycle; the value torch.optim.lr_scheduler.CosineAnnealingLR with
//              T_max = T - warmup has at step s - warmup). `end` itself is reached at s = T, one step after the last;
//              it holds for s >= T.
//   poly:      end + (lr - end) * (1 - (s - warmup) / (T - warmup))^0.9   (Chen et al. 2017, DeepLabv3, section 4.1;
//              the value torch.optim.lr_scheduler.PolynomialLR with total_iters = T - warmup and power = 0.9 has at
//              step s - warmup). It holds `end` for s >= T, as cosine does.
//   plateau:   max(end, lr * state.fraction), where after each epoch update_plateau has divided as needed
// With warmup >= T the phase is all warm-up.
#pragma once

#include <cstdint>

namespace unet {

enum class ScheduleKind { constant, cosine, poly, plateau };

/// "constant", "cosine", "poly" or "plateau".
const char* name_of(ScheduleKind kind);

struct ScheduleSpec {
  ScheduleKind kind = ScheduleKind::cosine;
  double lr = 1e-3;            // > 0
  std::int64_t warmup = 0;     // steps, >= 0
  double end_fraction = 0;     // of lr: where cosine and poly end and below which plateau does not go; in [0, 1]
  double factor = 0.1;         // plateau: multiplies the rate; in (0, 1)
  std::int64_t patience = 10;  // plateau: epochs without a better metric that are endured, >= 0
  double threshold = 1e-4;     // plateau: "better" means metric > best + threshold
};

/// Throws Error naming the field that is out of the range above.
void check_schedule(const ScheduleSpec& spec);

/// State of the plateau schedule: plain numbers, to be stored with a checkpoint.
struct PlateauState {
  double fraction = 1;          // of lr
  double best = -1;             // best metric so far; metrics are >= 0 and larger is better (Dice)
  std::int64_t bad_epochs = 0;  // epochs since
};

/// The state after an epoch whose validation gave `metric`. After more than `patience` epochs in a row without a better
/// one the fraction is multiplied by `factor` and counting starts anew. A NaN is not better.
PlateauState update_plateau(const ScheduleSpec& spec, PlateauState state, double metric);

/// The rate for step s in 0 .. total-1.
double learning_rate(const ScheduleSpec& spec, std::int64_t step, std::int64_t total, const PlateauState& state = {});

}  // namespace unet
