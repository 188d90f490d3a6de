// The convolutions that cudnn_conv.h plans, made ready to run on the current device.
#include "kernels/conv_plan.h"

#include "kernels/cuda/conv_epilogue.h"
#include "kernels/cuda/cudnn_conv.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/runtime.h"
#include "kernels/elementwise.h"

namespace unet::kernels::cuda {
namespace {

constexpr CudnnChoice kCandidates{20, 3};

const std::shared_ptr<const CudnnTarget>& device() {
  // Never destroyed: CUDA may be gone when the process ends.
  static const auto& target = *new std::shared_ptr<const CudnnTarget>(CudnnTarget::current_device(runtime().stream()));
  return target;
}

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// The bias as the fused kernels of bf16 want it.
View bf16_bias(ConstView bias, void* memory) {
  View out;
  out.dtype = Dtype::bf16;
  out.dims = bias.dims;
  out.pitch = bias.pitch;
  out.data = memory;
  copy(bias, out);
  return out;
}

ConvPlan runnable(CudnnConv conv, const ConvCase& c) {
  const ConvPass pass = c.pass;
  const ConvSpec spec = c.spec;
  const ConvShape& s = c.shape;
  const bool rotated = conv.form == CudnnForm::rotated, fused = conv.form == CudnnForm::fused;
  const bool converts_bias = fused && spec.bias && c.dtype == Dtype::bf16;
  const std::size_t own = aligned(conv.plan->workspace());
  std::size_t extra = 0;  // behind cuDNN's own workspace
  if (rotated) extra = static_cast<std::size_t>(s.Cout * s.taps() * s.Cin) * size_of(c.dtype);
  if (converts_bias) extra = static_cast<std::size_t>(s.Cout) * size_of(Dtype::bf16);

  ConvPlan out;
  out.id = conv.id;
  out.workspace = own + aligned(extra);
  out.run = [pass, spec, rotated, fused, converts_bias, own, plan = std::move(conv.plan)](const ConvOperands& io,
                                                                                          void* workspace) {
    void* const behind = static_cast<char*>(workspace) + own;
    const void *x = io.x.data, *weights = io.weights.data, *y = io.y.data, *bias = io.bias.data;
    if (pass == ConvPass::backward_data) {
      x = io.dx.data;
      y = io.dy.data;
    } else if (pass == ConvPass::backward_weights) {
      weights = io.dweights.data;
      y = io.dy.data;
    }
    if (rotated) {
      rotate_weights(io.weights, behind);
      weights = behind;
      std::swap(x, y);  // dy goes in where x did
    }
    if (converts_bias) bias = bf16_bias(io.bias, behind).data;
    std::vector<std::pair<std::int64_t, const void*>> pointers{{kCudnnX, x}, {kCudnnWeights, weights}, {kCudnnY, y}};
    if (fused && spec.bias) pointers.emplace_back(kCudnnBias, bias);
    plan->run(pointers, workspace);
    const bool apart = !fused && pass == ConvPass::forward && (spec.bias || spec.residual || spec.relu);
    const ConstView none;
    if (apart) conv_epilogue(io.y, spec.bias ? io.bias : none, spec.residual ? io.residual : none, spec.relu);
  };
  return out;
}

}  // namespace

std::string library_versions() { return "cuDNN " + cudnn_version() + ", cuBLASLt " + cublaslt_version(); }

ConvPlan plan_conv(const ConvCase& c) { return runnable(plan_cudnn_conv(device(), c), c); }

std::vector<ConvPlan> plan_conv_candidates(const ConvCase& c) {
  std::vector<ConvPlan> out;
  for (CudnnConv& conv : cudnn_conv_candidates(device(), c, kCandidates)) {
    out.push_back(runnable(std::move(conv), c));
  }
  return out;
}

ConvPlan plan_conv_by_id(const ConvCase& c, const std::string& id) {
  return runnable(cudnn_conv_by_id(device(), c, id), c);
}

}  // namespace unet::kernels::cuda
