// The error of every kernel of the CPU in f32, as NMSE against the same kernel in f64 on the same numbers, a line each.
// UNET_ISA chooses the instruction set. What a change of the kernels does to their rounding: run it before and after.
#include <fmt/core.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/core/rng.h"
#include "engine/core/tensor.h"
#include "kernels/adam.h"
#include "kernels/channel_sum.h"
#include "kernels/conv_plan.h"
#include "kernels/conv_transpose.h"
#include "kernels/cpu/isa.h"
#include "kernels/cross_entropy.h"
#include "kernels/head_conv.h"
#include "kernels/norm_act.h"
#include "kernels/pixel_linear.h"
#include "kernels/soft_dice.h"
#include "kernels/upsample.h"

namespace unet {
namespace {

using Values = std::vector<double>;

/// Normal numbers that f32 holds.
Tensor normal(const Shape& shape, Dtype dtype, unsigned seed, float scale = 1, float mean = 0) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> of(mean, scale);
  std::vector<float> values(static_cast<std::size_t>(shape.size()));
  for (float& value : values) value = of(generator);
  return Tensor::of(shape, dtype, values);
}

Tensor labels(const Shape& shape, unsigned classes) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint8_t>(mix64(i) % classes);
  return Tensor::copy_of(shape, Dtype::u8, values.data());
}

/// A line: the result in f32 against that in f64.
void report(const std::string& name, const std::function<Values(Dtype)>& kernel) {
  const Values exact = kernel(Dtype::f64), rounded = kernel(Dtype::f32);
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += (rounded[i] - exact[i]) * (rounded[i] - exact[i]);
    norm += exact[i] * exact[i];
  }
  fmt::print("{:<44} {:.4e}\n", name, error / norm);
}

void report_convolutions() {
  using kernels::ConvPass;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    for (const kernels::ConvShape& s : {kernels::ConvShape{2, 60, 60, 64, 48, 3, 3}, {2, 60, 60, 3, 64, 3, 3}}) {
      kernels::ConvCase c{pass, {.stride = 1, .pad = 1}, s, Dtype::f32};
      for (const auto& candidate : kernels::cpu::plan_conv_candidates(c)) {
        if (candidate.id.starts_with("onednn")) continue;
        report(fmt::format("conv {} {}->{} {}", name_of(pass), s.Cin, s.Cout, candidate.id), [&](Dtype dtype) {
          c.dtype = dtype;
          const auto plan = kernels::cpu::plan_conv_by_id(c, dtype == Dtype::f64 ? "own:gemm" : candidate.id);
          const Tensor x = normal({s.N, s.H, s.W, s.Cin}, dtype, 1), dy = normal({s.N, s.H, s.W, s.Cout}, dtype, 2);
          const Tensor w = normal({s.Cout, s.Kh, s.Kw, s.Cin}, dtype, 3), y = dy.clone(), dx = x.clone(),
                       dw = w.clone();
          const Scratch workspace(plan.workspace, {});
          kernels::ConvOperands io;
          io.x = x.const_view();
          io.weights = w.const_view();
          io.dy = dy.const_view();
          io.y = y.view();
          io.dx = dx.view();
          io.dweights = dw.view();
          plan.run(io, workspace.data());
          return (pass == ConvPass::forward ? y : pass == ConvPass::backward_data ? dx : dw).values<double>();
        });
      }
    }
  }
  for (const int wanted : {0, 1, 2}) {
    const char* const names[] = {"forward", "backward_data", "backward_weights"};
    report(fmt::format("conv_transpose {} 96->40", names[wanted]), [&](Dtype dtype) {
      const Tensor x = normal({2, 31, 29, 96}, dtype, 1), w = normal({96, 2, 2, 40}, dtype, 2);
      const Tensor dy = normal({2, 62, 58, 40}, dtype, 3), b = normal({40}, dtype, 4);
      const Tensor y = dy.clone(), dx = x.clone(), dw = w.clone(), db = b.clone();
      const Scratch scratch(kernels::cpu::conv_transpose_scratch(x.const_view(), 40), {});
      kernels::cpu::conv_transpose_forward(x.const_view(), w.const_view(), b.const_view(), y.view(), scratch.data());
      kernels::cpu::conv_transpose_backward(x.const_view(), w.const_view(), dy.const_view(), dx.view(), dw.view(),
                                            db.view(), scratch.data());
      return (wanted == 0 ? y : wanted == 1 ? dx : dw).values<double>();
    });
  }
}

void report_norm_act(std::int64_t C, float mean_of_x) {
  for (const char* const wanted : {"mean", "rstd", "y", "dx", "dgamma", "dbeta"}) {
    report(fmt::format("norm_act {} C={} mean {}", wanted, C, mean_of_x), [&](Dtype dtype) {
      const Shape shape{2, 46, 46, C};
      const Tensor x = normal(shape, dtype, 1, 1, mean_of_x), dy = normal(shape, dtype, 2);
      const Tensor gamma = normal({C}, dtype, 3, 0.2f, 1), beta = normal({C}, dtype, 4, 0.2f, 0.5f);
      const Tensor mean = gamma.clone(), rstd = gamma.clone(), variance = gamma.clone(), y = x.clone(), dx = x.clone();
      const Tensor dgamma = gamma.clone(), dbeta = gamma.clone();
      const Scratch scratch(kernels::cpu::norm_act_scratch(x.const_view()), {});
      kernels::cpu::batch_statistics(x.const_view(), 1e-5, mean.view(), rstd.view(), variance.view(), scratch.data());
      kernels::cpu::norm_act_forward({}, x.const_view(), gamma.const_view(), beta.const_view(), mean.const_view(),
                                     rstd.const_view(), {}, y.view(), {});
      kernels::cpu::norm_act_backward({}, x.const_view(), gamma.const_view(), beta.const_view(), mean.const_view(),
                                      rstd.const_view(), {}, dy.const_view(), {}, dx.view(), dgamma.view(),
                                      dbeta.view(), {}, scratch.data());
      const std::string which = wanted;
      return (which == "mean"     ? mean
              : which == "rstd"   ? rstd
              : which == "y"      ? y
              : which == "dx"     ? dx
              : which == "dgamma" ? dgamma
                                  : dbeta)
          .values<double>();
    });
  }
}

void report_losses(std::int64_t C) {
  const Shape pixels{2, 97, 101}, shape{2, 97, 101, C};
  const Tensor classes = labels(pixels, static_cast<unsigned>(C));
  const double one = 1;
  const auto logits = [&](Dtype dtype) { return normal(shape, dtype, 1, 4); };
  const auto cross_entropy = [&](Dtype dtype, bool backward) {
    const Tensor x = logits(dtype), dx = x.clone();
    const Scratch scratch(kernels::cpu::cross_entropy_scratch(x.const_view()), {});
    kernels::CrossEntropySums sums;
    kernels::cpu::cross_entropy_forward({}, x.const_view(), classes.const_view(), {}, &sums, scratch.data());
    kernels::cpu::cross_entropy_backward({}, x.const_view(), classes.const_view(), {}, &sums, &one, dx.view());
    return backward ? dx.values<double>() : Values{sums.mean};
  };
  const auto soft_dice = [&](Dtype dtype, bool backward) {
    const Tensor x = logits(dtype), dx = x.clone();
    const Scratch scratch(kernels::cpu::soft_dice_scratch(x.const_view()), {});
    Values sums(static_cast<std::size_t>(3 * 2 * C));
    kernels::SoftDiceResult result;
    kernels::cpu::soft_dice_forward({}, x.const_view(), classes.const_view(), sums.data(), &result, scratch.data());
    kernels::cpu::soft_dice_backward({}, x.const_view(), classes.const_view(), sums.data(), &one, dx.view());
    return backward ? dx.values<double>() : Values{result.loss};
  };
  for (const bool backward : {false, true}) {
    const char* const name = backward ? "backward" : "forward";
    report(fmt::format("cross_entropy {} C={}", name, C), [&](Dtype dtype) { return cross_entropy(dtype, backward); });
    report(fmt::format("soft_dice {} C={}", name, C), [&](Dtype dtype) { return soft_dice(dtype, backward); });
  }
}

void report_pixel_linear() {
  for (const int wanted : {0, 1, 2}) {
    const char* const names[] = {"forward", "backward dx", "backward dweights"};
    report(fmt::format("pixel_linear {}", names[wanted]), [&](Dtype dtype) {
      const Tensor x = normal({2, 50, 41, 70}, dtype, 1), w = normal({3, 1, 1, 70}, dtype, 2),
                   b = normal({3}, dtype, 3);
      const Tensor dy = normal({2, 50, 41, 3}, dtype, 4), y = dy.clone(), dx = x.clone(), dw = w.clone(),
                   db = b.clone();
      const Scratch scratch(kernels::cpu::pixel_linear_scratch(x.const_view(), 3), {});
      kernels::cpu::pixel_linear_forward(x.const_view(), w.const_view(), b.const_view(), y.view());
      kernels::cpu::pixel_linear_backward(x.const_view(), w.const_view(), dy.const_view(), dx.view(), dw.view(),
                                          db.view(), scratch.data());
      return (wanted == 0 ? y : wanted == 1 ? dx : dw).values<double>();
    });
  }
}

void report_head_conv() {
  for (const int wanted : {0, 1, 2}) {
    const char* const names[] = {"forward", "backward dx", "backward dweights"};
    report(fmt::format("head_conv {}", names[wanted]), [&](Dtype dtype) {
      const Tensor x = normal({2, 50, 41, 16}, dtype, 1), w = normal({3, 3, 3, 16}, dtype, 2),
                   b = normal({3}, dtype, 3);
      const Tensor dy = normal({2, 50, 41, 3}, dtype, 4), y = dy.clone(), dx = x.clone(), dw = w.clone();
      const Scratch scratch(kernels::cpu::head_conv_scratch(x.const_view(), 3), {});
      kernels::cpu::head_conv_forward(x.const_view(), w.const_view(), b.const_view(), y.view());
      kernels::cpu::head_conv_backward(x.const_view(), w.const_view(), dy.const_view(), dx.view(), dw.view(),
                                       scratch.data());
      return (wanted == 0 ? y : wanted == 1 ? dx : dw).values<double>();
    });
  }
}

void report_the_rest() {
  report("upsample forward", [](Dtype dtype) {
    const Tensor x = normal({2, 23, 31, 37}, dtype, 1), y = Tensor::empty({2, 46, 62, 37}, dtype);
    kernels::cpu::upsample_bilinear_forward(x.const_view(), true, y.view());
    return y.values<double>();
  });
  report("upsample backward", [](Dtype dtype) {
    const Tensor dy = normal({2, 46, 62, 37}, dtype, 1), dx = Tensor::empty({2, 23, 31, 37}, dtype);
    kernels::cpu::upsample_bilinear_backward(dy.const_view(), true, dx.view());
    return dx.values<double>();
  });
  report("channel_sum", [](Dtype dtype) {
    const Tensor x = normal({2, 46, 62, 37}, dtype, 1), sum = Tensor::empty({37}, dtype);
    const Scratch scratch(kernels::cpu::channel_sum_scratch(x.const_view()), {});
    kernels::cpu::channel_sum(x.const_view(), sum.view(), scratch.data());
    return sum.values<double>();
  });
  for (const double decay : {0.0, 0.01}) {
    report(fmt::format("adam, ten steps, decay {}", decay), [&](Dtype dtype) {
      constexpr std::int64_t size = 10007;
      const Tensor p = normal({size}, dtype, 1), m = Tensor::zeros({size}, dtype), v = Tensor::zeros({size}, dtype);
      kernels::AdamSpec spec;
      spec.weight_decay = decay;
      const kernels::StepControl control{.lr = 1e-2};
      kernels::AdamClock clock;
      for (unsigned step = 1; step <= 10; ++step) {
        const Tensor g = normal({size}, dtype, 10 + step);
        kernels::cpu::adam_clock(spec, &control, &clock);
        kernels::cpu::adam(spec, &control, &clock, g.view(), p.view(), m.view(), v.view(), {});
      }
      return p.values<double>();
    });
  }
}

}  // namespace
}  // namespace unet

int main() {
  fmt::print("{}\n", unet::kernels::cpu::name_of(unet::kernels::cpu::isa()));
  unet::report_convolutions();
  for (const std::int64_t C : {16, 37}) {
    for (const float mean : {0.0f, 3.0f}) unet::report_norm_act(C, mean);
  }
  for (const std::int64_t C : {2, 5}) unet::report_losses(C);
  unet::report_pixel_linear();
  unet::report_head_conv();
  unet::report_the_rest();
}
