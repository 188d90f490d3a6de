#include "kernels/fold_norm.h"

#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void fold_norm(ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon, View scale,
               View bias) {
  dispatch_float(gamma.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t c = 0; c < gamma.c(); ++c) {
      const double rstd = 1 / std::sqrt(static_cast<double>(variance.as<T>()[c]) + epsilon);
      scale.as<T>()[c] = static_cast<T>(static_cast<double>(gamma.as<T>()[c]) * rstd);
      bias.as<T>()[c] = beta.as<T>()[c] - mean.as<T>()[c] * scale.as<T>()[c];
    }
  });
}

void scale_filters(ConstView filters, ConstView scale, View scaled) {
  dispatch_float(filters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t row = filters.h() * filters.w() * filters.c();
    parallel_for(filters.n(), [&](std::int64_t co) {
      const T* from = filters.as<T>() + co * row;
      T* to = scaled.as<T>() + co * row;
      for (std::int64_t i = 0; i < row; ++i) to[i] = from[i] * scale.as<T>()[co];
    });
  });
}

void inverse_deviation(ConstView variance, double epsilon, View rstd) {
  dispatch_float(variance.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t c = 0; c < variance.c(); ++c) {
      rstd.as<T>()[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(variance.as<T>()[c]) + epsilon));
    }
  });
}

}  // namespace unet::kernels::cpu
