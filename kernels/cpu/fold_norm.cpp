#include "kernels/fold_norm.h"

#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {

void fold_norm(ConstView weights, ConstView gamma, ConstView beta, ConstView mean, ConstView variance, double epsilon,
               View folded, View bias) {
  dispatch_float(weights.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t row = weights.h() * weights.w() * weights.c();
    parallel_for(weights.n(), [&](std::int64_t co) {
      const double rstd = 1 / std::sqrt(static_cast<double>(variance.as<T>()[co]) + epsilon);
      const T g = static_cast<T>(static_cast<double>(gamma.as<T>()[co]) * rstd);
      const T* w = weights.as<T>() + co * row;
      T* out = folded.as<T>() + co * row;
      for (std::int64_t i = 0; i < row; ++i) out[i] = w[i] * g;
      bias.as<T>()[co] = beta.as<T>()[co] - mean.as<T>()[co] * g;
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
