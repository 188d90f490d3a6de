// Layers: named parameters and a forward function. A layer holds handles into the model's Parameters, which outlives
// it; names are the ones PyTorch users have on disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "engine/ops/ops.h"

namespace unet::nn {

/// torch.nn.Conv2d's and ConvTranspose2d's default, kaiming_uniform_(a = sqrt(5)): uniform in +-1/sqrt(fan_in), for the
/// weight and for the bias. fan_in = (second size of the PyTorch weight) * Kh * Kw.
Init pytorch_default(std::int64_t fan_in);
/// He et al. 2015, section 2.2, for what a ReLU follows: uniform in +-sqrt(6/fan_in), or normal with variance
/// 2/fan_out.
Init kaiming_uniform(std::int64_t fan_in);
Init kaiming_normal(std::int64_t fan_out);

/// Convolution with bias: [N,H,W,Cin] -> [N,Ho,Wo,Cout]. Parameters NAME.weight, NAME.bias.
class Conv2d {
 public:
  Conv2d(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t Cout, std::int64_t kernel,
         std::int64_t stride = 1, std::int64_t pad = 0);
  Var forward(Tape& tape, const Var& x) const;

 private:
  Parameters* parameters_;
  ParamId weight_, bias_;
  Conv2dOptions options_;
};

/// The 1x1 convolution with bias at the end of a network: [N,H,W,C] -> [N,H,W,K], K small. Parameters NAME.weight
/// [K,1,1,C], NAME.bias.
class PixelLinear {
 public:
  PixelLinear(Parameters& parameters, const std::string& name, std::int64_t C, std::int64_t K);
  Var forward(Tape& tape, const Var& x) const;

 private:
  Parameters* parameters_;
  ParamId weight_, bias_;
};

/// The 3x3 convolution with bias at the end of a network: [N,H,W,C] -> [N,H,W,K], C and K small. Parameters NAME.weight
/// [K,3,3,C], drawn by torch.nn.init.xavier_uniform_, NAME.bias, 0.
class HeadConv2d {
 public:
  HeadConv2d(Parameters& parameters, const std::string& name, std::int64_t C, std::int64_t K);
  Var forward(Tape& tape, const Var& x) const;

 private:
  Parameters* parameters_;
  ParamId weight_, bias_;
};

/// 2x2 stride-2 transposed convolution with bias: [N,H,W,Cin] -> [N,2H,2W,Cout]. Parameters NAME.weight, NAME.bias.
class ConvTranspose2d {
 public:
  ConvTranspose2d(Parameters& parameters, const std::string& name, std::int64_t Cin, std::int64_t Cout);
  /// Written into `out` (may be a channel slice) if given.
  Var forward(Tape& tape, const Var& x, const Tensor& out = {}) const;

 private:
  Parameters* parameters_;
  ParamId weight_, bias_;
};

/// Convolution without bias, batch norm, ReLU: [N,H,W,Cin] -> [N,Ho,Wo,Cout] (padding kernel / 2, so that Ho = H /
/// stride, rounded up, of odd kernels). x may be a channel slice. Parameters CONV.weight, NORM.weight, NORM.bias and
/// the statistics of NORM. x may have image_channels(Cin), the further ones 0, as images on a GPU have. This is the one
/// place that chooses: a recording tape gets conv2d + norm_act with batch statistics, unless the parameters' group is
/// not trainable: running ones then, as on an inference tape, and none are recorded; where nothing wants a gradient it
/// is one convolution with folded weights, bias, residual and ReLU and, if asked for, max_pool2d of the result. On
/// CUDA, where cuDNN would write a slice by way of a copy and add a residual in a pass of its own, the convolution is
/// followed by norm_act's one pass instead.
class ConvNormAct {
 public:
  struct Options {
    Tensor out;         // where the result goes; may be a channel slice
    bool pool = false;  // also the 2x2 max-pool
    Var residual;       // added before the ReLU
    bool relu = true;
    bool recompute = false;  // backward makes the result again instead of keeping it; on the CPU it does so anyway
  };

  ConvNormAct(Parameters& parameters, const std::string& conv, const std::string& norm, std::int64_t Cin,
              std::int64_t Cout, std::int64_t kernel = 3, std::int64_t stride = 1, std::optional<Init> weight = {});
  /// x is let go as soon as the convolution has read it: who moves it in has its memory back for the result.
  NormActResult forward(Tape& tape, Var x, const Options& options) const;
  Var forward(Tape& tape, Var x) const { return forward(tape, std::move(x), Options()).y; }

 private:
  bool learns(const Tape& tape) const;
  NormActResult forward_in_two(Tape& tape, Var x, const Options& options) const;
  NormActResult forward_folded(Tape& tape, const Var& x, const Options& options) const;

  Parameters* parameters_;
  ParamId weight_, gamma_, beta_;
  StatsId stats_;
  Conv2dOptions options_;
};

}  // namespace unet::nn
