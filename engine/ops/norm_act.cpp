#include "kernels/norm_act.h"

#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/fold_norm.h"

namespace unet {

NormActResult norm_act(Tape& tape, const Var& x, const Var& gamma, const Var& beta, const RunningStats& stats,
                       const NormActOptions& options) {
  const std::string op = check::title("norm_act", gamma);
  check::activation(op, "x", x.value);
  const Shape& s = x.shape();
  const Shape vector{s[3]};
  check::shape(op, "gamma", gamma.value, vector, "C");
  check::shape(op, "beta", beta.value, vector, "C");
  check::parameter(op, "gamma", gamma.value, x.value);
  check::parameter(op, "beta", beta.value, x.value);
  const Var& residual = options.residual;
  if (residual.defined()) {
    check::shape(op, "residual", residual.value, s, "N,H,W,C");
    check::alike(op, "residual", residual.value, x.value);
  }
  if (!options.training) {
    check::shape(op, "running mean", stats.mean, vector, "C");
    check::shape(op, "running variance", stats.variance, vector, "C");
    check::parameter(op, "running mean", stats.mean, x.value);
    check::parameter(op, "running variance", stats.variance, x.value);
  }
  if (options.pool && (s[1] < 2 || s[2] < 2)) {
    throw Error("{}: a 2x2 max-pool needs at least 2x2 pixels, x is {} (N,H,W,C)", op, s.str());
  }

  const Dtype dtype = x.value.dtype(), statistics = gamma.value.dtype();
  const Device device = x.value.device();
  kernels::NormActSpec spec;
  spec.relu = options.relu;
  spec.epsilon = options.epsilon;
  spec.training = options.training;
  Tensor mean, rstd = Tensor::empty(vector, statistics, device);
  if (options.training) {
    const auto place = [&](const Tensor& reported) {  // where it stays until the step ends, and backward reads it
      return reported.defined() ? reported : Tensor::empty(vector, statistics, device);
    };
    mean = place(stats.pending_mean);
    const Tensor variance = place(stats.pending_variance);
    const Scratch scratch(dispatch<cpu::norm_act_scratch, cuda::norm_act_scratch>(device, x.value.const_view()),
                          device);
    dispatch<cpu::batch_statistics, cuda::batch_statistics>(device, x.value.const_view(), spec.epsilon, mean.view(),
                                                            rstd.view(), variance.view(), scratch.data());
  } else {
    mean = stats.mean.clone();  // the gradient needs the statistics of this pass, whatever commits come before
    dispatch<cpu::inverse_deviation, cuda::inverse_deviation>(device, stats.variance.const_view(), spec.epsilon,
                                                              rstd.view());
  }

  const Tensor y = check::destination(op, options.out, s, x.value);
  const Tensor pooled = options.pool ? Tensor::empty({s[0], s[1] / 2, s[2] / 2, s[3]}, dtype, device) : Tensor();
  const auto normalise = [spec, x = x.value, gamma = gamma.value, beta = beta.value, mean, rstd,
                          residual = residual.value](const Tensor& to, const Tensor& pooled_to) {
    dispatch<cpu::norm_act_forward, cuda::norm_act_forward>(x.device(), spec, x.const_view(), gamma.const_view(),
                                                            beta.const_view(), mean.const_view(), rstd.const_view(),
                                                            residual.const_view(), to.view(), pooled_to.view());
  };
  normalise(y, pooled);

  NormActResult out;
  out.y = tape.output(y, {&x, &gamma, &beta, &residual});
  if (options.pool) out.pooled = tape.output(pooled, {&x, &gamma, &beta, &residual});
  if (!out.y.wants_gradient()) return out;
  if (options.recompute) {
    out.y.again = std::make_shared<const std::function<Tensor()>>([normalise, s, dtype, device] {
      const Tensor once_more = Tensor::empty(s, dtype, device);
      normalise(once_more, {});
      return once_more;
    });
  }
  tape.record([&tape, spec, x = x.value, x_id = x.id, gamma, beta, residual, mean, rstd, y_id = out.y.id,
               pooled_id = out.pooled.id] {
    const Tensor dy = tape.take_gradient(y_id);
    const Tensor dpooled = tape.take_gradient(pooled_id);
    if (!dy.defined() && !dpooled.defined()) return;
    const Tensor dx = tape.gradient_target(x_id, x);
    const Tensor dgamma = tape.gradient_target(gamma.id);
    const Tensor dbeta = tape.gradient_target(beta.id);
    const Tensor dresidual = tape.gradient_target(residual.id);
    const Scratch scratch(dispatch<cpu::norm_act_scratch, cuda::norm_act_scratch>(x.device(), x.const_view()),
                          x.device());
    dispatch<cpu::norm_act_backward, cuda::norm_act_backward>(
        x.device(), spec, x.const_view(), gamma.value.const_view(), beta.value.const_view(), mean.const_view(),
        rstd.const_view(), residual.value.const_view(), dy.const_view(), dpooled.const_view(), dx.view(), dgamma.view(),
        dbeta.view(), dresidual.view(), scratch.data());
    tape.add_gradient(x_id, dx);
    tape.add_gradient(gamma.id, dgamma);
    tape.add_gradient(beta.id, dbeta);
    tape.add_gradient(residual.id, dresidual);
  });
  return out;
}

}  // namespace unet
