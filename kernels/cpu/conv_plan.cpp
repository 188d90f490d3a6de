#include "kernels/conv_plan.h"

#include <stdexcept>

#include "kernels/cpu/onednn_conv.h"
#include "kernels/cpu/own_conv.h"

namespace unet::kernels::cpu {
namespace {

enum class Method { own_gemm, onednn_nhwc, onednn_own_layout, onednn_nhwc_rotated };

/// The fixed choice of `automatic` (and, among our own kernels, of `own`): pass, shape and dtype, no clock.
Method rule(ConvProvider provider, ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype) {
  if (provider == ConvProvider::own || !onednn_can(OnednnLayout::nhwc, pass, spec, shape, dtype)) {
    return Method::own_gemm;
  }
  if (onednn_can(OnednnLayout::nhwc_rotated, pass, spec, shape, dtype)) return Method::onednn_nhwc_rotated;
  return Method::onednn_nhwc;
}

ConvPlan plan_own_gemm(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype) {
  ConvPlan plan{"own:gemm", own_conv_workspace(pass, spec, shape, dtype), {}};
  switch (pass) {
    case ConvPass::forward:
      plan.run = [spec, shape](const ConvOperands& io, void* workspace) {
        own_conv_forward(spec, shape, io.x, io.weights, spec.bias ? io.bias : ConstView{}, io.y, workspace);
      };
      break;
    case ConvPass::backward_data:
      plan.run = [spec, shape](const ConvOperands& io, void* workspace) {
        own_conv_backward_data(spec, shape, io.dy, io.weights, {}, io.dx, workspace);
      };
      break;
    case ConvPass::backward_weights:
      plan.run = [spec, shape](const ConvOperands& io, void* workspace) {
        own_conv_backward_weights(spec, shape, io.x, io.dy, io.dweights, workspace);
      };
      break;
  }
  return plan;
}

ConvPlan plan_method(Method method, ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype) {
  switch (method) {
    case Method::own_gemm:
      break;
    case Method::onednn_nhwc:
      return plan_onednn_conv(OnednnLayout::nhwc, pass, spec, shape);
    case Method::onednn_own_layout:
      return plan_onednn_conv(OnednnLayout::own_layout, pass, spec, shape);
    case Method::onednn_nhwc_rotated:
      return plan_onednn_conv(OnednnLayout::nhwc_rotated, pass, spec, shape);
  }
  return plan_own_gemm(pass, spec, shape, dtype);
}

std::string describe(ConvPass pass, const ConvSpec& spec, const ConvShape& s, Dtype dtype) {
  const auto list = [](std::initializer_list<std::int64_t> values) {
    std::string text = "[";
    for (const std::int64_t value : values) text += (text.size() > 1 ? "," : "") + std::to_string(value);
    return text + "]";
  };
  return std::string(name_of(pass)) + " " + name_of(dtype) + ", x " + list({s.N, s.H, s.W, s.Cin}) + ", weights " +
         list({s.Cout, s.Kh, s.Kw, s.Cin}) + ", stride " + std::to_string(spec.stride) + ", pad " +
         std::to_string(spec.pad);
}

}  // namespace

bool conv_provider_available(ConvProvider provider, ConvPass pass, const ConvSpec& spec, const ConvShape& shape,
                             Dtype dtype) {
  if (provider == ConvProvider::onednn) return onednn_can(OnednnLayout::nhwc, pass, spec, shape, dtype);
  return dtype == Dtype::f32 || dtype == Dtype::f64;
}

ConvPlan plan_conv(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype, ConvProvider provider) {
  if (!conv_provider_available(provider, pass, spec, shape, dtype)) {
    std::string reason = "own convolutions are f32 and f64";
    if (provider == ConvProvider::onednn) {
      reason = onednn_version().empty() ? "oneDNN is not built in" : "oneDNN convolutions are f32 here";
    }
    throw std::invalid_argument("convolution " + describe(pass, spec, shape, dtype) + ": " + reason);
  }
  return plan_method(rule(provider, pass, spec, shape, dtype), pass, spec, shape, dtype);
}

std::vector<ConvPlan> plan_conv_candidates(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype) {
  std::vector<ConvPlan> plans;
  if (conv_provider_available(ConvProvider::own, pass, spec, shape, dtype)) {
    plans.push_back(plan_own_gemm(pass, spec, shape, dtype));
  }
  for (const auto layout : {OnednnLayout::nhwc, OnednnLayout::own_layout, OnednnLayout::nhwc_rotated}) {
    if (onednn_can(layout, pass, spec, shape, dtype)) plans.push_back(plan_onednn_conv(layout, pass, spec, shape));
  }
  return plans;
}

}  // namespace unet::kernels::cpu
