// Gradients written over the values that they are gradients of: only where nobody else holds these, and the same bits.
#include <gtest/gtest.h>

#include "tests/support/op_case.h"

namespace unet::tests::in_place_test {
namespace {

const Shape kShape{2, 12, 14, 16};

using Op = std::function<Var(Tape&, const Var& x, const Var& vector, const Var& matrix)>;

struct Outcome {
  std::vector<std::vector<double>> gradients;
  bool in_place = false;
};

/// The op on what another op has made; held: somebody else still holds that.
Outcome run(Dtype dtype, const Op& op, bool held) {
  const Dtype parameter = dtype == Dtype::bf16 ? Dtype::f32 : dtype;
  Tape tape;
  const auto leaf = [&](const Shape& shape, Dtype type, std::uint64_t seed) {
    return tape.leaf(Tensor::of(shape, type, normal_values(shape.size(), seed)));
  };
  const Var x = leaf(kShape, dtype, 1), vector = leaf({16}, parameter, 2), matrix = leaf({5, 1, 1, 16}, parameter, 3);
  Var h = add(tape, x, x);
  const void* const memory = h.value.data<void>();
  const Tensor holder = held ? h.value : Tensor();
  Outcome out;
  Var seen = tape.output(h.value, {&h});
  tape.record([&, h_id = h.id, seen_id = seen.id] {  // between the two, when backward passes
    const Tensor gradient = tape.take_gradient(seen_id);
    out.in_place = gradient.data<void>() == memory;
    tape.add_gradient(h_id, gradient);
  });
  const Var y = op(tape, seen, vector, matrix);
  h.value = seen.value = Tensor();
  const Tensor cotangent = Tensor::of(y.shape(), y.value.dtype(), normal_values(y.shape().size(), 4));
  tape.backward(weighted_sum(tape, {y}, {cotangent}));
  for (const Var& v : {x, vector, matrix}) {
    if (tape.gradient(v).defined()) out.gradients.push_back(tape.gradient(v).values<double>());
  }
  return out;
}

TEST(InPlace, GradientsAreTheSameWhereNobodyElseHoldsTheValue) {
  const PoisonScope poison;
  const std::vector<std::pair<const char*, Op>> ops{
      {"norm_act", [](Tape& tape, const Var& x, const Var& v, const Var&) { return norm_act(tape, x, v, v, {}).y; }},
      {"pixel_linear",
       [](Tape& tape, const Var& x, const Var&, const Var& matrix) { return pixel_linear(tape, x, matrix, {}); }}};
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
    for (const auto& [name, op] : ops) {
      const Outcome apart = run(dtype, op, true), over = run(dtype, op, false);
      EXPECT_FALSE(apart.in_place) << name;
      EXPECT_TRUE(over.in_place) << name;
      EXPECT_EQ(over.gradients, apart.gradients) << name;
    }
  }
}

}  // namespace
}  // namespace unet::tests::in_place_test
