// Max-pool as its header says it, window by window.
#pragma once

#include "kernels/max_pool.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test {

inline const std::vector<PoolSpec>& pool_specs() {
  static const std::vector<PoolSpec> all{{2, 2, 0}, {3, 2, 1}};
  return all;
}

inline Shape pooled(const PoolSpec& spec, Shape of) { return {of.n, spec.outputs(of.h), spec.outputs(of.w), of.c}; }

/// Values with many ties and, where there is room, windows with one NaN and with several.
inline Values pool_values(std::uint64_t seed, Dtype dtype, Shape shape) {
  Values values = random_values(seed, dtype, shape.size());
  for (double& value : values) value = std::round(value);
  if (shape.size() > 40) {
    values[0] = values[37] = std::nan("");
    for (std::int64_t h = 1; h < std::min<std::int64_t>(shape.h, 4); ++h) {
      const std::int64_t row = h * shape.w * shape.c;
      for (std::int64_t w = 0; w < std::min<std::int64_t>(shape.w, 3); ++w) {
        values[static_cast<std::size_t>(row + w * shape.c)] = std::nan("");
      }
    }
  }
  return values;
}

struct PoolResult {
  Values y, dx;
};

/// Sums of dy in f32 unless they are f64.
inline PoolResult pool_reference(const PoolSpec& spec, Dtype dtype, Shape shape, const Values& x, const Values& dy) {
  const Shape out = pooled(spec, shape);
  PoolResult result{Values(static_cast<std::size_t>(out.size())), Values(x.size(), 0)};
  for (std::int64_t i = 0; i < out.size(); ++i) {
    const std::int64_t c = i % out.c, column = i / out.c % out.w, row = i / (out.c * out.w) % out.h,
                       n = i / (out.c * out.w * out.h);
    std::size_t best = x.size();
    for (std::int64_t h = row * spec.stride - spec.pad; h < row * spec.stride - spec.pad + spec.kernel; ++h) {
      for (std::int64_t w = column * spec.stride - spec.pad; w < column * spec.stride - spec.pad + spec.kernel; ++w) {
        if (h < 0 || h >= shape.h || w < 0 || w >= shape.w) continue;
        const auto at = static_cast<std::size_t>(((n * shape.h + h) * shape.w + w) * shape.c + c);
        if (best == x.size() || x[at] > x[best] || std::isnan(x[at])) best = at;
      }
    }
    const auto at = static_cast<std::size_t>(i);
    result.y[at] = x[best];
    const double sum = result.dx[best] + dy[at];
    result.dx[best] = dtype == Dtype::f64 ? sum : static_cast<double>(static_cast<float>(sum));
  }
  for (double& value : result.dx) value = stored(dtype, value);
  return result;
}

}  // namespace unet::kernels::test
