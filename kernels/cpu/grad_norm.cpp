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

std::size_t sum_of_squares_scratch(const Ranges& x) {
  return static_cast<std::size_t>(blocks_of(only_part(x)).count) * sizeof(double);
}

void sum_of_squares(const Ranges& ranges, SquareSum* out, void* scratch) {
  const ConstView x = only_part(ranges);
  const Blocks blocks = blocks_of(x);
  auto* partial = static_cast<double*>(scratch);
  dispatch_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto& loops = select(baseline::grad_norm_loops, avx2::grad_norm_loops, avx512::grad_norm_loops).of(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      partial[b] = loops.sum_of_squares(x.as<T>() + blocks.begin(b), blocks.end(b) - blocks.begin(b));
    });
  });
  *out = {};
  for (std::int64_t b = 0; b < blocks.count; ++b) out->sum += partial[b];
  if (std::isfinite(out->sum)) return;
  dispatch_float(x.dtype, [&](auto zero) {
    const auto* values = x.as<decltype(zero)>();
    const auto* bad = std::find_if(values, values + x.size(), [](auto value) { return !std::isfinite(value); });
    if (bad != values + x.size()) out->first_bad = bad - values;
  });
}

}  // namespace unet::kernels::cpu
