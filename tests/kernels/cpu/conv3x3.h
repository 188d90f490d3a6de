// A 3x3 convolution (stride 1, padding 1) with operands in guarded, poisoned buffers, and its reference in f64.
#pragma once

#include <string>
#include <vector>

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"
#include "tests/support/guarded.h"

namespace unet::test {

using Buffer = tests::Guarded;

/// Normal data, rounded to the buffer's dtype.
void fill_normal(Buffer& buffer, unsigned seed, double scale = 1);

struct Conv3x3 {
  std::int64_t N, H, W, Cin, Cout;

  kernels::ConvShape shape() const { return {N, H, W, Cin, Cout, 3, 3}; }
  std::string name() const;
};

std::vector<double> reference_forward(const Conv3x3& c, const std::vector<double>& x, const std::vector<double>& w);
std::vector<double> reference_backward_data(const Conv3x3& c, const std::vector<double>& dy,
                                            const std::vector<double>& w);
std::vector<double> reference_backward_weights(const Conv3x3& c, const std::vector<double>& x,
                                               const std::vector<double>& dy);

/// sum (a-b)^2 / sum b^2; NaN if any a is.
double nmse(const std::vector<double>& a, const std::vector<double>& b);

/// Runs a plan in a guarded workspace of exactly its size; false if a guard was hit.
bool run_guarded(const kernels::ConvPlan& plan, const kernels::ConvOperands& operands);

/// Instruction sets that this CPU has.
std::vector<kernels::cpu::Isa> instruction_sets();

}  // namespace unet::test
