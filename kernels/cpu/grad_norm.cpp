#include "kernels/grad_norm.h"

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/grad_norm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

double sum_of_squares(ConstView x) {
  constexpr int max_blocks = 256;
  const Blocks blocks = cut(x.size(), 16384, max_blocks);
  double partial[max_blocks];
  dispatch_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = select(baseline::grad_norm_loops, avx2::grad_norm_loops, avx512::grad_norm_loops).of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      partial[b] = loops.sum_of_squares(x.as<T>() + blocks.begin(b), blocks.end(b) - blocks.begin(b));
    });
  });
  double sum = 0;
  for (std::int64_t b = 0; b < blocks.count; ++b) sum += partial[b];
  return sum;
}

}  // namespace unet::kernels::cpu
