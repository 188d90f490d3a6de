#include "kernels/average.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void update_average(double decay, const StepControl* control, const std::int64_t* steps, ConstView values,
                    View average) {
  if (control->verdict != StepVerdict::commit) return;
  const bool first = *steps == 1;
  const Blocks blocks = cut(average.size(), 16384);
  dispatch_float(average.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T take = static_cast<T>(1 - decay);
    const T* const from = values.as<T>();
    T* const to = average.as<T>();
    parallel_for(blocks.count, [&](std::int64_t b) {
      const std::int64_t begin = blocks.begin(b), end = blocks.end(b);
      if (first) {
        std::copy(from + begin, from + end, to + begin);
      } else {
        for (std::int64_t i = begin; i < end; ++i) to[i] += take * (from[i] - to[i]);
      }
    });
  });
}

}  // namespace unet::kernels::cpu
