// One declaration per case of a differentiable op; from it follow
//   check_gradients   backward against central differences in f64, eps 1e-6, |a - n| <= 1e-5 + 1e-3 |n|, random
//                     cotangents, every input (of a large one a random subset of elements), and each gradient computed
//                     alone equal to the same computed together with the others
//   check_precision   f32 against f64 on the same (f32) numbers: outputs and gradients, NMSE = sum (a-b)^2 / sum b^2
// Both run with a poisoned pool (what is not written is NaN), pitched cotangents, and guards round what ops may write.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "tests/support/tensors.h"

namespace unet::tests {

enum class Fill {
  normal,  // mean 0, deviation 1
  spaced,  // distinct values at least 0.01 apart and 0.005 from zero, in random order: no ties, no kinks at hand
};

struct Input {
  Input(Shape input_shape, Fill input_fill = Fill::normal, std::int64_t input_extra = 0)
      : shape(input_shape), fill(input_fill), extra(input_extra) {}
  Shape shape;
  Fill fill;
  std::int64_t extra;  // > 0: a channel slice of a tensor this much wider
};

struct OpCase {
  std::string name;  // [A-Za-z0-9_]+
  std::vector<Input> inputs;
  /// Outputs that are constants or undefined count as not there.
  std::function<std::vector<Var>(Tape&, const std::vector<Var>&)> run;
  /// f32 against f64: relative rms 1e-5. A sum of K products has about sqrt(K) eps = 1.4e-6 at K = 576; the rest is
  /// room for a transformed convolution.
  double nmse = 1e-10;
};
inline void PrintTo(const OpCase& op_case, std::ostream* out) { *out << op_case.name; }

/// What is wrong, one line each, with seed, input and element; empty when all is well.
std::vector<std::string> check_gradients(const OpCase& op_case);
std::vector<std::string> check_precision(const OpCase& op_case);

/// Outputs and gradients of one recorded pass over given inputs, all as doubles. Gradients that did not arrive are
/// empty.
struct PassResult {
  std::vector<std::vector<double>> outputs, gradients;
};
PassResult run_pass(const OpCase& op_case, const std::vector<Tensor>& inputs, const std::vector<Tensor>& cotangents);

/// sum over outputs of <cotangent, output>, a scalar [1] whose backward hands out the cotangents.
Var weighted_sum(Tape& tape, const std::vector<Var>& outputs, const std::vector<Tensor>& cotangents);

/// The parameterised suites: INSTANTIATE_TEST_SUITE_P(Conv2d, GradCheck, ValuesIn(cases()), case_name). The bodies are
/// in tests/engine/ops/op_case_test.cpp.
class GradCheck : public testing::TestWithParam<OpCase> {};
class Precision : public testing::TestWithParam<OpCase> {};
inline std::string case_name(const testing::TestParamInfo<OpCase>& info) { return info.param.name; }

}  // namespace unet::tests
