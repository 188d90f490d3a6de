// One convolution of a test: its operands, references and runs.
#pragma once

#include <gtest/gtest.h>

#include <ostream>

#include "tests/kernels/cpu/conv_reference.h"

namespace unet::kernels::test {

struct Case {
  ConvShape shape;  // N, H, W, Cin, Cout, Kh, Kw
  ConvSpec spec;    // stride, pad, bias, relu, residual

  ConvCase of(ConvPass pass, Dtype dtype) const { return {pass, spec, shape, dtype}; }
  std::int64_t Ho() const { return of({}, {}).Ho(); }
  std::int64_t Wo() const { return of({}, {}).Wo(); }
};

inline std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << text_of(c.of({}, {})) << (c.spec.bias ? ", bias" : "") << (c.spec.residual ? ", residual" : "")
             << (c.spec.relu ? ", relu" : "");
}

class Operands {
 public:
  /// gap: pitch - channels of the activations.
  Operands(const Case& c, Dtype dtype, std::int64_t gap = 0)
      : x(dtype, {c.shape.N, c.shape.H, c.shape.W, c.shape.Cin},
          random_values(c.shape.N * c.shape.H * c.shape.W * c.shape.Cin, 1), gap),
        weights(compute_dtype(dtype), {c.shape.Cout, c.shape.Kh, c.shape.Kw, c.shape.Cin},
                random_values(c.shape.Cout * c.shape.Kh * c.shape.Kw * c.shape.Cin, 2)),
        bias(compute_dtype(dtype), {1, 1, 1, c.shape.Cout}, random_values(c.shape.Cout, 3)),
        residual(dtype, {c.shape.N, c.Ho(), c.Wo(), c.shape.Cout},
                 random_values(c.shape.N * c.Ho() * c.Wo() * c.shape.Cout, 5), gap),
        dy(dtype, {c.shape.N, c.Ho(), c.Wo(), c.shape.Cout},
           random_values(c.shape.N * c.Ho() * c.Wo() * c.shape.Cout, 4), gap) {}

  Reference reference(const Case& c) const { return reference(c, weights.values()); }
  /// As tiles multiply: with weights that are rounded too.
  Reference reference_of_tiles(const Case& c) const {
    const ConvShape& s = c.shape;
    return reference(c, Buffer(Dtype::bf16, {s.Cout, s.Kh, s.Kw, s.Cin}, weights.values()).values());
  }

  Buffer x, weights, bias, residual, dy;

 private:
  Reference reference(const Case& c, const Values& w) const {
    return convolve(c.spec, c.shape, x.values(), w, bias.values(), residual.values(), dy.values());
  }
};

/// Runs a plan into a poisoned output, y with a gap, and checks guards.
inline Values run(const ConvPlan& plan, const Case& c, ConvPass pass, Dtype dtype, const Operands& in,
                  std::int64_t gap = 0) {
  const ConvShape& s = c.shape;
  ConvOperands io;
  io.x = in.x.view();
  io.weights = in.weights.view();
  io.bias = in.bias.view();
  io.residual = in.residual.view();
  io.dy = in.dy.view();
  Buffer y(dtype, {s.N, c.Ho(), c.Wo(), s.Cout}, gap);
  Buffer dx(dtype, {s.N, s.H, s.W, s.Cin});
  Buffer dweights(test::compute_dtype(dtype), {s.Cout, s.Kh, s.Kw, s.Cin});
  io.y = y.view();
  io.dx = dx.view();
  io.dweights = dweights.view();
  Workspace workspace(plan.workspace);
  plan.run(io, workspace.data());
  EXPECT_TRUE(y.intact() && dx.intact() && dweights.intact()) << plan.id << " writes outside";
  EXPECT_TRUE(workspace.intact()) << plan.id << " writes outside its workspace of " << plan.workspace;
  return pass == ConvPass::forward ? y.values() : pass == ConvPass::backward_data ? dx.values() : dweights.values();
}

}  // namespace unet::kernels::test
