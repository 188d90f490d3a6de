// cuDNN's share of kernels/conv_plan.h: a pass is planned for any target, a described device included. conv_plan.cpp
// beside this file runs what is planned here.
//
// A config of cuDNN's heuristics is taken if it is deterministic, accumulates in f32, does not round f32 operands
// (TF32 only when asked for) and keeps within the workspace limit. Of those that pass, a lean one is chosen, whose
// workspace is smaller than x and than y, so that it cannot be a hidden copy of a tensor in another layout; of two, the
// one the heuristic thinks faster.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/conv_plan.h"
#include "kernels/cuda/cudnn_graph.h"

namespace unet::kernels::cuda {

/// How a pass becomes a graph.
enum class CudnnForm {
  plain,    // the pass itself; bias, residual and ReLU are left to a kernel of our own
  fused,    // forward with bias and ReLU in the same kernel; the bias has the operands' dtype
  rotated,  // backward data of stride 1 as the forward convolution of dy with rotated weights [Cin,Kh,Kw,Cout]
};

/// The most workspace that any plan may ask for: the smaller of x and y, within these bounds. Below the lower one are
/// the partial sums and the transforms of layers with few pixels, which may well be worth their memory: --autotune
/// times them.
constexpr std::size_t kCudnnSmallWorkspace = std::size_t{64} << 20, kCudnnWorkspaceLimit = std::size_t{256} << 20;

/// Unique ids of the tensors in the graphs: src and dst as the graph sees them (forward: x and y).
constexpr std::int64_t kCudnnX = 1, kCudnnWeights = 2, kCudnnY = 3, kCudnnBias = 4;

struct CudnnConv {
  std::string id;  // "cudnn:9.19.0:plain:e62:2=0,13=1": version, form, engine and its settings; names the same again
  CudnnForm form = CudnnForm::plain;
  std::shared_ptr<const CudnnPlan> plan;
};

/// f32 and bf16 (all operands of that dtype). Throws std::invalid_argument for another dtype and std::runtime_error if
/// cuDNN has no config that passes; both name the case.
CudnnConv plan_cudnn_conv(const std::shared_ptr<const CudnnTarget>& target, const ConvCase& c);
/// How many configs to take. Most proposals are the settings of a few engines, so each engine has a limit of its own.
struct CudnnChoice {
  std::size_t most = 1, most_of_an_engine = 1;
};
/// The first configs that pass, of the heuristics' modes A and B, for timing: the first lean one, then the rest in the
/// heuristics' order; a fallback where these modes have no lean one. Throws as plan_cudnn_conv.
std::vector<CudnnConv> cudnn_conv_candidates(const std::shared_ptr<const CudnnTarget>& target, const ConvCase& c,
                                             const CudnnChoice& choice);
/// The plan of an id as above. Throws std::invalid_argument if the id is not one of this cuDNN's, its form is none of
/// the case's, its engine may round operands where the case does not allow it, or it needs more workspace than a plan
/// may; std::runtime_error if cuDNN refuses it for this shape.
CudnnConv cudnn_conv_by_id(const std::shared_ptr<const CudnnTarget>& target, const ConvCase& c, const std::string& id);

}  // namespace unet::kernels::cuda
