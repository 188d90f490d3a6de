// 2-D convolution (cross-correlation, as deep learning uses the word), the one op with several providers.
//
//   y[n,ho,wo,co] = bias[co] + sum_{kh,kw,ci} x[n, ho*stride - pad + kh, wo*stride - pad + kw, ci] * w[co,kh,kw,ci]
//   Ho = (H + 2*pad - Kh) / stride + 1, Wo likewise; pixels outside x count as zero.
//
// x [N,H,W,Cin], y, dy and residual [N,Ho,Wo,Cout], weights [Cout,Kh,Kw,Cin]. x, y and dy are dense unless the plan
// takes slices (other providers would make hidden copies), dx is dense, the residual may be pitched. A plan's dtype is
// that of the activations x, dx, y, dy, residual. On the CPU weights, dweights and bias are f64 beside f64 and f32
// otherwise: bf16 is storage for activations alone, products and sums are f32 (but own:gemm rounds weights where the
// CPU multiplies bf16: Isa::avx512_bf16, and Isa::avx512_amx, whose tiles besides take denormals for zero). Each of the
// three passes is a ConvCase; a plan is made once for it and run many times. The caller owns the workspace.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace unet::kernels {

enum class ConvPass { forward, backward_data, backward_weights };
/// "forward", "backward_data", "backward_weights".
const char* name_of(ConvPass pass);

struct ConvSpec {
  std::int64_t stride = 1;
  std::int64_t pad = 0;
  bool bias = false;      // forward only
  bool relu = false;      // forward only, after bias and residual: inference with folded weights
  bool residual = false;  // forward only: y = act(conv(x) + bias + residual)

  auto operator<=>(const ConvSpec&) const = default;
};

struct ConvShape {
  std::int64_t N = 0, H = 0, W = 0, Cin = 0, Cout = 0, Kh = 0, Kw = 0;

  std::int64_t taps() const { return Kh * Kw; }
  auto operator<=>(const ConvShape&) const = default;
};

/// One pass of one convolution: everything that a choice of implementation is made for, but the machine.
struct ConvCase {
  ConvPass pass = ConvPass::forward;
  ConvSpec spec;
  ConvShape shape;
  Dtype dtype = Dtype::f32;
  bool tf32 = false;  // f32 operands may be rounded to TF32 (10 bits): CUDA; false: strict fp32 products

  std::int64_t Ho() const { return (shape.H + 2 * spec.pad - shape.Kh) / spec.stride + 1; }
  std::int64_t Wo() const { return (shape.W + 2 * spec.pad - shape.Kw) / spec.stride + 1; }
  /// Floating-point operations (a multiply and an add are two) by the direct method.
  double flops() const;
  auto operator<=>(const ConvCase&) const = default;
};
/// For logs: "forward f32, x [2,11,9,16], weights [24,3,3,16], stride 1, pad 1"; "tf32" in the place of "f32".
std::string text_of(const ConvCase& c);

/// Which implementations a plan may choose from: `automatic` = a fixed rule on pass, shape, dtype, ISA and library
/// version (no clock); `direct` = that rule without Winograd; the others force one.
enum class ConvProvider { automatic, direct, onednn, own };

/// The operands of one run. forward reads x, weights, scale, bias, residual and writes y; backward_data reads dy,
/// weights and writes dx; backward_weights reads x, dy and writes dweights. Outputs are overwritten, never added to.
struct ConvOperands {
  ConstView x, weights, bias, dy;
  ConstView scale;  // [Cout] or empty: y = act(scale * conv(x) + bias + residual); for plans with scales_y alone
  ConstView residual;
  View y, dx, dweights;
};

struct ConvPlan {
  std::string id;             // e.g. "onednn:nhwc", "own:gemm"; names the implementation in logs and plan files
  std::size_t workspace = 0;  // bytes that run needs, 64-byte aligned
  std::function<void(const ConvOperands&, void* workspace)> run;
  bool takes_slices = false;     // whether x, y and dy may be slices of wider tensors
  bool scales_y = false;         // whether it takes a scale
  bool foreign_threads = false;  // a library's threads run it, and then spin on cores that the next kernel wants
};

namespace cpu {

/// True if the provider is built in and can do this.
bool conv_provider_available(ConvProvider provider, const ConvCase& c);
/// Plans on the CPU. f32, f64 and bf16. Throws std::invalid_argument, naming provider and case, if the forced provider
/// is not built in or cannot do it (oneDNN does f32 only).
ConvPlan plan_conv(const ConvCase& c, ConvProvider provider);
/// Every implementation that can do this, for tests, benchmarks and tuning; their ids differ.
std::vector<ConvPlan> plan_conv_candidates(const ConvCase& c);
/// The candidate of that id. Throws std::invalid_argument, naming the case and listing the ids, if there is none.
ConvPlan plan_conv_by_id(const ConvCase& c, const std::string& id);
/// What the candidates depend on: instruction set and library, e.g. "avx2, oneDNN 2.6.3".
std::string conv_machine();

}  // namespace cpu

namespace cuda {

/// The libraries behind convolutions and products with their versions, for logs: "cuDNN 9.19.0, cuBLASLt 13.1.0".
/// Opens them. Throws std::runtime_error that says what is missing, where it was looked for and how to get it.
std::string library_versions();

/// Plans with cuDNN: the first config of its heuristics that is deterministic and keeps within the workspace limit. f32
/// and bf16, all operands alike but for the bias, which is f32. Throws std::runtime_error, naming the case, if cuDNN is
/// missing or has no such config.
ConvPlan plan_conv(const ConvCase& c);
/// The few that the heuristics think fastest, for timing; their ids differ.
std::vector<ConvPlan> plan_conv_candidates(const ConvCase& c);
/// The plan of that id again. Throws std::invalid_argument if the id is none of this cuDNN version's or rounds operands
/// where the case does not allow it, std::runtime_error if it does not suit the shape.
ConvPlan plan_conv_by_id(const ConvCase& c, const std::string& id);

}  // namespace cuda
}  // namespace unet::kernels
