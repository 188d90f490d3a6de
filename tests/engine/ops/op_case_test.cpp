// The bodies of the suites that every op instantiates, and the harness seen failing: made-up ops with a fault each.
#include "tests/support/op_case.h"

#include <cmath>

namespace unet::tests::op_case_test {
namespace {

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

TEST_P(GradCheck, EveryInput) { EXPECT_EQ(joined(check_gradients(GetParam())), ""); }
TEST_P(Precision, F32AgainstF64) { EXPECT_EQ(joined(check_precision(GetParam())), ""); }

enum class Fault { none, gradient, element, precision, unwritten, input, behind, beside };

/// y = x^2 with dx = 2 x dy, and one fault.
Var square(Tape& tape, const Var& x, Fault fault) {
  const auto store = [](const Tensor& t, std::int64_t i, double value) {
    if (t.dtype() == Dtype::f64) {
      t.data<double>()[i] = value;
    } else {
      t.data<float>()[i] = static_cast<float>(value);
    }
  };
  const std::vector<double> v = x.value.values<double>();
  const Tensor y = Tensor::empty(x.shape(), x.value.dtype());
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const double value = v[static_cast<std::size_t>(i)];
    const bool coarse = fault == Fault::precision && y.dtype() == Dtype::f32;
    if (fault != Fault::unwritten || i != 0) store(y, i, value * value * (coarse ? 1.001 : 1.0));
  }
  if (fault == Fault::behind) store(y, y.size(), 1.0);
  if (fault == Fault::beside) store(x.value, x.shape().channels(), 1.0);
  if (fault == Fault::input) store(x.value, 0, v[0] + 1);
  const Var out = tape.output(y, {&x});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, v, store, fault, x_id = x.id, y_id = out.id] {
    const std::vector<double> dy = tape.take_gradient(y_id).values<double>();
    const Tensor dx = tape.gradient_target(x_id);
    for (std::size_t i = 0; i < v.size(); ++i) {
      const bool wrong = fault == Fault::gradient || (fault == Fault::element && i == 3);
      store(dx, static_cast<std::int64_t>(i), 2 * v[i] * dy[i] * (wrong ? 1.01 : 1.0));
    }
    tape.add_gradient(x_id, dx);
  });
  return out;
}

OpCase square_case(Fault fault, std::int64_t extra = 0) {
  return {"square", {Input({1, 2, 3, 4}, Fill::normal, extra)}, [fault](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{square(tape, in[0], fault)};
          }};
}

bool mentions(const std::vector<std::string>& problems, const std::string& text) {
  return joined(problems).find(text) != std::string::npos;
}

TEST(OpCaseHarness, PassesARightOp) {
  EXPECT_EQ(joined(check_gradients(square_case(Fault::none))), "");
  EXPECT_EQ(joined(check_precision(square_case(Fault::none))), "");
  EXPECT_EQ(joined(check_gradients(square_case(Fault::none, 3))), "");
}

TEST(OpCaseHarness, FindsAWrongGradient) {
  EXPECT_TRUE(mentions(check_gradients(square_case(Fault::gradient)), "gradient of input 0, element"));
  const std::vector<std::string> one = check_gradients(square_case(Fault::element));
  ASSERT_EQ(one.size(), 1u) << joined(one);
  EXPECT_TRUE(mentions(one, "element 3:")) << joined(one);
  EXPECT_TRUE(mentions(one, "seed 20240229, square")) << joined(one);
}

TEST(OpCaseHarness, FindsLostPrecision) {
  EXPECT_TRUE(mentions(check_precision(square_case(Fault::precision)), "output 0: NMSE"));
}

TEST(OpCaseHarness, FindsWhatWasNotWritten) {
  EXPECT_TRUE(mentions(check_precision(square_case(Fault::unwritten)), "output 0: NMSE inf"));
}

TEST(OpCaseHarness, FindsAChangedInput) {
  EXPECT_TRUE(mentions(check_gradients(square_case(Fault::input)), "changed input 0"));
}

TEST(OpCaseHarness, FindsWritesOutside) {
  EXPECT_TRUE(mentions(check_gradients(square_case(Fault::behind)), "wrote behind output 0"));
  EXPECT_TRUE(mentions(check_gradients(square_case(Fault::beside, 4)), "wrote beside input 0"));
}

TEST(OpCaseHarness, DistancesSeeNaN) {
  EXPECT_EQ(nmse({1, 2}, {1, 2}), 0);
  EXPECT_DOUBLE_EQ(nmse({1, 3}, {1, 2}), 0.2);
  EXPECT_TRUE(std::isinf(nmse({NAN, 2}, {1, 2})));
  EXPECT_TRUE(std::isinf(nmse({1}, {1, 2})));
  EXPECT_DOUBLE_EQ(max_relative({1, 3}, {1, 4}), 0.25);
  EXPECT_TRUE(std::isinf(max_relative({1, NAN}, {1, 4})));
}

}  // namespace
}  // namespace unet::tests::op_case_test
