#include "engine/nn/layers.h"

#include <cmath>

#include "engine/core/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/fold_norm.h"

namespace unet::nn {
namespace {

constexpr double kEpsilon = 1e-5;  // torch.nn.BatchNorm2d's default

/// Where images have further channels, which are 0, the weights that read them have them, too.
Var as_wide_as_images(Tape& tape, const Var& weight, const Var& x) {
  const std::int64_t channels = image_channels(weight.shape()[3], x.value.device());
  return x.shape()[3] == channels ? pad_channels(tape, weight, channels) : weight;
}

}  // namespace

Init pytorch_default(std::int64_t fan_in) { return {.bound = 1.0 / std::sqrt(static_cast<double>(fan_in))}; }
Init kaiming_uniform(std::int64_t fan_in) { return {.bound = std::sqrt(6.0 / static_cast<double>(fan_in))}; }
Init kaiming_normal(std::int64_t fan_out) { return {.deviation = std::sqrt(2.0 / static_cast<double>(fan_out))}; }

Conv2d::Conv2d(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t Cout,
               std::int64_t kernel, std::int64_t stride, std::int64_t pad)
    : parameters_(&parameters) {
  const Init init = pytorch_default(Cin * kernel * kernel);
  weight_ = parameters.add_operand(name + ".weight", {Cout, kernel, kernel, Cin}, init);
  bias_ = parameters.add(name + ".bias", {Cout}, init);
  options_.stride = stride;
  options_.pad = pad;
}

Var Conv2d::forward(Tape& tape, const Var& x) const {
  const Var y = conv2d(tape, x, tape.operand(*parameters_, weight_), tape.param(*parameters_, bias_), options_);
  tape.show(*parameters_, weight_, y.value);
  return y;
}

PixelLinear::PixelLinear(Parameters& parameters, const std::string& name, std::int64_t C, std::int64_t K)
    : parameters_(&parameters) {
  const Init init = pytorch_default(C);
  weight_ = parameters.add(name + ".weight", {K, 1, 1, C}, init);
  bias_ = parameters.add(name + ".bias", {K}, init);
}

Var PixelLinear::forward(Tape& tape, const Var& x) const {
  const Var y = pixel_linear(tape, x, tape.param(*parameters_, weight_), tape.param(*parameters_, bias_));
  tape.show(*parameters_, weight_, y.value);
  return y;
}

HeadConv2d::HeadConv2d(Parameters& parameters, const std::string& name, std::int64_t C, std::int64_t K)
    : parameters_(&parameters) {
  const double fan_in = static_cast<double>(9 * C), fan_out = static_cast<double>(9 * K);
  weight_ = parameters.add(name + ".weight", {K, 3, 3, C}, {.bound = std::sqrt(6 / (fan_in + fan_out))});
  bias_ = parameters.add(name + ".bias", {K}, {});
}

Var HeadConv2d::forward(Tape& tape, const Var& x) const {
  const Var y = head_conv2d(tape, x, tape.param(*parameters_, weight_), tape.param(*parameters_, bias_));
  tape.show(*parameters_, weight_, y.value);
  return y;
}

ConvTranspose2d::ConvTranspose2d(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t Cout)
    : parameters_(&parameters) {
  const Init init = pytorch_default(Cout * 4);
  weight_ = parameters.add_operand(name + ".weight", {Cin, 2, 2, Cout}, init);
  bias_ = parameters.add(name + ".bias", {Cout}, init);
}

Var ConvTranspose2d::forward(Tape& tape, const Var& x, const Tensor& out) const {
  const Var y = conv_transpose2d(tape, x, tape.operand(*parameters_, weight_), tape.param(*parameters_, bias_), out);
  tape.show(*parameters_, weight_, y.value);
  return y;
}

ConvNormAct::ConvNormAct(Parameters& parameters, const std::string& conv, const std::string& norm, std::int64_t Cin,
                         std::int64_t Cout, std::int64_t kernel, std::int64_t stride, std::optional<Init> weight)
    : parameters_(&parameters) {
  weight_ = parameters.add_operand(conv + ".weight", {Cout, kernel, kernel, Cin},
                                   weight.value_or(pytorch_default(Cin * kernel * kernel)));
  gamma_ = parameters.add(norm + ".weight", {Cout}, {.constant = 1});
  beta_ = parameters.add(norm + ".bias", {Cout}, {});
  stats_ = parameters.add_stats(norm, Cout);
  options_.stride = stride;
  options_.pad = kernel / 2;
}

NormActResult ConvNormAct::forward(Tape& tape, Var x, const Options& options) const {
  const bool in_one =
      x.value.device().is_cpu() || (!options.pool && !options.out.defined() && !options.residual.defined());
  const bool folds = !learns(tape) && !x.wants_gradient() && !options.residual.wants_gradient() && in_one;
  const NormActResult result = folds ? forward_folded(tape, x, options) : forward_in_two(tape, std::move(x), options);
  tape.show(*parameters_, gamma_, result.y.value);
  return result;
}

bool ConvNormAct::learns(const Tape& tape) const { return tape.recording() && parameters_->trainable(gamma_); }

NormActResult ConvNormAct::forward_in_two(Tape& tape, Var x, const Options& options) const {
  const Var weight = as_wide_as_images(tape, tape.operand(*parameters_, weight_), x);
  const Var conv = conv2d(tape, x, weight, Var(), options_);
  x = Var();
  NormActOptions norm;
  norm.relu = options.relu;
  norm.pool = options.pool;
  norm.residual = options.residual;
  norm.out = options.out;
  norm.training = learns(tape);
  norm.epsilon = kEpsilon;
  // A slice keeps the tensor it belongs to alive anyway.
  norm.recompute = !options.out.defined() && (options.recompute || conv.value.device().is_cpu());
  return norm_act(tape, conv, tape.param(*parameters_, gamma_), tape.param(*parameters_, beta_),
                  norm.training ? parameters_->record_statistics(stats_) : parameters_->running(stats_), norm);
}

NormActResult ConvNormAct::forward_folded(Tape& tape, const Var& x, const Options& options) const {
  const RunningStats stats = parameters_->running(stats_);
  const Tensor gamma = parameters_->value(gamma_);
  const Tensor scale = Tensor::empty(gamma.shape(), gamma.dtype(), gamma.device());
  const Tensor bias = Tensor::empty(gamma.shape(), gamma.dtype(), gamma.device());
  dispatch<cpu::fold_norm, cuda::fold_norm>(gamma.device(), gamma.const_view(), parameters_->value(beta_).const_view(),
                                            stats.mean.const_view(), stats.variance.const_view(), kEpsilon,
                                            scale.view(), bias.view());
  Conv2dOptions conv = options_;
  conv.relu = options.relu;
  conv.scale = scale;
  conv.residual = options.residual.value;
  conv.out = options.out;
  NormActResult result;
  const Var weight = as_wide_as_images(tape, tape.param(*parameters_, weight_), x);
  result.y = conv2d(tape, x, weight, tape.input(bias), conv);
  if (options.pool) result.pooled = max_pool2d(tape, result.y);
  return result;
}

}  // namespace unet::nn
