#include "kernels/grad_norm.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/grad_norm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

ConstView only_part(const Ranges& x) {
  if (x.first.size() != 0) throw std::logic_error("gradients in two parts are for devices that have them in bf16");
  return x.second;
}

Blocks blocks_of(ConstView x) { return cut(x.size(), 16384); }

}  // namespace

std::int64_t square_sums(const Ranges& x) { return blocks_of(only_part(x)).count; }

void sum_of_squares(const Ranges& ranges, SquareSum* sums) {
  const ConstView x = only_part(ranges);
  const Blocks blocks = blocks_of(x);
  dispatch_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = select(baseline::grad_norm_loops, avx2::grad_norm_loops, avx512::grad_norm_loops).of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      const T *const begin = x.as<T>() + blocks.begin(b), *const end = x.as<T>() + blocks.end(b);
      sums[b] = {loops.sum_of_squares(begin, end - begin), -1};
      if (std::isfinite(sums[b].sum)) return;
      const T* const bad = std::find_if(begin, end, [](T value) { return !std::isfinite(value); });
      if (bad != end) sums[b].first_bad = bad - x.as<T>();
    });
  });
}

}  // namespace unet::kernels::cpu
