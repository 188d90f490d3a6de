#include "engine/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"

namespace unet {

constexpr double kPolyPower = 0.9;

const char* name_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::cosine:
      return "cosine";
    case ScheduleKind::poly:
      return "poly";
    case ScheduleKind::plateau:
      return "plateau";
  }
  return "?";
}

void check_schedule(const ScheduleSpec& spec) {
  if (!(spec.lr > 0 && std::isfinite(spec.lr))) throw Error("learning rate {}: expected a number > 0", spec.lr);
  if (spec.warmup < 0) throw Error("warm-up of {} steps: expected >= 0", spec.warmup);
  if (!(spec.end_fraction >= 0 && spec.end_fraction <= 1)) {
    throw Error("schedule: end fraction {}: expected 0 to 1", spec.end_fraction);
  }
  if (!(spec.factor > 0 && spec.factor < 1)) {
    throw Error("schedule: plateau factor {}: expected more than 0 and less than 1", spec.factor);
  }
  if (spec.patience < 0) throw Error("schedule: plateau patience {}: expected >= 0 epochs", spec.patience);
  if (!(spec.threshold >= 0)) throw Error("schedule: plateau threshold {}: expected >= 0", spec.threshold);
}

PlateauState update_plateau(const ScheduleSpec& spec, PlateauState state, double metric) {
  if (metric > state.best + spec.threshold) {
    state.best = metric;
    state.bad_epochs = 0;
    return state;
  }
  if (++state.bad_epochs > spec.patience) {
    state.fraction *= spec.factor;
    state.bad_epochs = 0;
  }
  return state;
}

double learning_rate(const ScheduleSpec& spec, std::int64_t step, std::int64_t total, const PlateauState& state) {
  if (step < spec.warmup) return spec.lr * static_cast<double>(step + 1) / static_cast<double>(spec.warmup);
  const double end = spec.lr * spec.end_fraction;
  const auto progress = [&] {
    return static_cast<double>(step - spec.warmup) / static_cast<double>(total - spec.warmup);
  };
  switch (spec.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::cosine:
      if (step >= total) return end;
      return end + (spec.lr - end) * (1 + std::cos(std::numbers::pi * progress())) / 2;
    case ScheduleKind::poly:
      if (step >= total) return end;
      return end + (spec.lr - end) * std::pow(1 - progress(), kPolyPower);
    case ScheduleKind::plateau:
      return std::max(end, spec.lr * state.fraction);
  }
  return spec.lr;
}

}  // namespace unet
