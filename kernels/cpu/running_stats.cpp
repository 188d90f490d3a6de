#include "kernels/running_stats.h"

#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void update_running_stats(double momentum, const StepControl* control, ConstView batch, View running) {
  if (control->verdict != StepVerdict::commit) return;
  dispatch_float(running.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T keep = static_cast<T>(1 - momentum), take = static_cast<T>(momentum);
    const T* from = batch.as<T>();
    T* to = running.as<T>();
    // A few thousand numbers in all: threads would cost more than they save.
    for (std::int64_t i = 0; i < running.size(); ++i) to[i] = keep * to[i] + take * from[i];
  });
}

}  // namespace unet::kernels::cpu
