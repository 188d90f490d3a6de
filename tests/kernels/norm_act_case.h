// One call of norm_act with all of its operands, and the same by the formulas of kernels/norm_act.h in naive f64 loops.
#pragma once

#include "kernels/norm_act.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test {

struct NormActOptions {
  bool relu = true;
  bool training = true;
  bool residual = false;
  bool pool = false;
  bool with_y = true;    // forward writes y; backward gets dy
  std::int64_t gap = 0;  // pitch - C of every operand that may be pitched

  std::string text() const {
    std::ostringstream text;
    text << (relu ? "relu " : "") << (training ? "training " : "") << (residual ? "residual " : "")
         << (pool ? "pool " : "") << (with_y ? "y " : "") << "gap " << gap;
    return text.str();
  }
};

/// Everything that forward and backward give.
struct NormActResults {
  Values mean, rstd, unbiased_var, y, pooled, dx, dgamma, dbeta, dresidual;
  Values direct;  // of the reference: gamma * rstd * dz, dx without what goes through the statistics
};

struct Wanted {
  bool dx = true, dgamma = true, dbeta = true, dresidual = true;
  bool over_x = false;  // dx is written where x is
};

struct NormActInputs {
  Values x, gamma, beta, residual, dy, dpooled;
  Values mean, rstd;  // for inference

  NormActInputs(std::uint64_t seed, Dtype dtype, Shape shape) {
    const Dtype wide = compute_dtype(dtype);
    x = random_values(seed, dtype, shape.size(), 0.5, 2);
    gamma = random_values(seed + 1, wide, shape.c, 1, 0.3);
    beta = random_values(seed + 2, wide, shape.c, 0, 0.3);
    residual = random_values(seed + 3, dtype, shape.size());
    dy = random_values(seed + 4, dtype, shape.size());
    dpooled = random_values(seed + 5, dtype, pooled(shape).size());
    mean = random_values(seed + 6, wide, shape.c, 0.5, 0.1);
    rstd = random_values(seed + 7, wide, shape.c, 0.5, 0.05);
  }
};

constexpr double test_epsilon = 1e-5;

inline NormActResults run_norm_act(Dtype dtype, Shape shape, const NormActOptions& options, const NormActInputs& in,
                                   const Wanted& wanted = {}) {
  const Dtype wide = compute_dtype(dtype);
  const Shape vector{1, 1, 1, shape.c};
  const NormActSpec spec{options.relu, test_epsilon, options.training};
  Buffer x(dtype, shape, in.x, options.gap);
  Buffer gamma(wide, vector, in.gamma);
  Buffer beta(wide, vector, in.beta);
  Buffer mean(wide, vector);
  Buffer rstd(wide, vector);
  Buffer unbiased_var(wide, vector);
  Buffer residual(dtype, shape, in.residual, 2 * options.gap);
  Buffer y(dtype, shape, options.gap);
  Buffer pool(dtype, pooled(shape), options.gap);
  Buffer dy(dtype, shape, in.dy, 3 * options.gap);
  Buffer dpool(dtype, pooled(shape), in.dpooled, options.gap);
  Buffer dx(dtype, shape, options.gap);
  Buffer dgamma(wide, vector);
  Buffer dbeta(wide, vector);
  Buffer dresidual(dtype, shape, options.gap);
  const std::size_t scratch_bytes = cpu::norm_act_scratch(x.view());
  Buffer scratch(Dtype::u8, {1, 1, 1, static_cast<std::int64_t>(scratch_bytes)});

  if (options.training) {
    cpu::batch_statistics(x.view(), test_epsilon, mean.view(), rstd.view(), unbiased_var.view(), scratch.view().data);
  } else {
    for (std::int64_t c = 0; c < shape.c; ++c) {
      mean.set(c, in.mean[static_cast<std::size_t>(c)]);
      rstd.set(c, in.rstd[static_cast<std::size_t>(c)]);
    }
  }
  const View none;
  const ConstView residual_view = options.residual ? residual.view() : none;
  cpu::norm_act_forward(spec, x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(), residual_view,
                        options.with_y ? y.view() : none, options.pool ? pool.view() : none);
  cpu::norm_act_backward(spec, x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(), residual_view,
                         options.with_y ? dy.view() : none, options.pool ? dpool.view() : none,
                         wanted.over_x ? x.view()
                         : wanted.dx   ? dx.view()
                                       : none,
                         wanted.dgamma ? dgamma.view() : none, wanted.dbeta ? dbeta.view() : none,
                         wanted.dresidual && options.residual ? dresidual.view() : none, scratch.view().data);
  NormActResults results;
  results.mean = mean.values();
  results.rstd = rstd.values();
  results.unbiased_var = unbiased_var.values();
  results.y = y.values();
  results.pooled = pool.values();
  results.dx = (wanted.over_x ? x : dx).values();
  results.dgamma = dgamma.values();
  results.dbeta = dbeta.values();
  results.dresidual = dresidual.values();
  return results;
}

/// The statistics are those given (the kernel's own, as stored, when the passes after them are tested).
inline NormActResults reference_norm_act(Dtype dtype, Shape shape, const NormActOptions& options,
                                         const NormActInputs& in, const Values& mean, const Values& rstd) {
  const auto size = static_cast<std::size_t>(shape.size());
  const auto C = static_cast<std::size_t>(shape.c);
  const auto M = static_cast<double>(shape.pixels());
  NormActResults out;
  out.mean.assign(C, 0);
  out.unbiased_var.assign(C, 0);
  for (std::size_t i = 0; i < size; ++i) out.mean[i % C] += in.x[i] / M;
  Values var(C, 0);
  for (std::size_t i = 0; i < size; ++i) var[i % C] += (in.x[i] - out.mean[i % C]) * (in.x[i] - out.mean[i % C]) / M;
  for (std::size_t c = 0; c < C; ++c) {
    out.rstd.push_back(1 / std::sqrt(var[c] + test_epsilon));
    out.unbiased_var[c] = M > 1 ? var[c] * M / (M - 1) : 0;
  }

  Values xhat(size), z(size), dz(size);
  out.y.resize(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t c = i % C;
    xhat[i] = (in.x[i] - mean[c]) * rstd[c];
    z[i] = in.gamma[c] * xhat[i] + in.beta[c] + (options.residual ? in.residual[i] : 0);
    out.y[i] = stored(dtype, options.relu && z[i] < 0 ? 0 : z[i]);
    dz[i] = options.with_y ? in.dy[i] : 0;
  }
  out.pooled.resize(static_cast<std::size_t>(pooled(shape).size()));
  for_windows(shape, [&](std::int64_t i, const std::int64_t(&at)[4]) {
    double window[4];
    for (int k = 0; k < 4; ++k) window[k] = out.y[static_cast<std::size_t>(at[k])];
    const int k = winner(window);
    out.pooled[static_cast<std::size_t>(i)] = window[k];
    if (options.pool) dz[static_cast<std::size_t>(at[k])] += in.dpooled[static_cast<std::size_t>(i)];
  });
  out.dgamma.assign(C, 0);
  out.dbeta.assign(C, 0);
  for (std::size_t i = 0; i < size; ++i) {
    if (options.relu && z[i] <= 0) dz[i] = 0;
    out.dbeta[i % C] += dz[i];
    out.dgamma[i % C] += dz[i] * xhat[i];
  }
  out.dresidual = dz;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t c = i % C;
    const double through_statistics = options.training ? (out.dbeta[c] + xhat[i] * out.dgamma[c]) / M : 0;
    out.direct.push_back(in.gamma[c] * rstd[c] * dz[i]);
    out.dx.push_back(out.direct[i] - in.gamma[c] * rstd[c] * through_statistics);
  }
  return out;
}

}  // namespace unet::kernels::test
