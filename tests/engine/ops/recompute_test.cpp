// A normalised tensor that its consumer's backward makes again: the same gradients, bit for bit, and its memory free in
// between.
#include "engine/core/pool.h"
#include "tests/support/op_case.h"

namespace unet::tests::recompute_test {
namespace {

using Consumer = std::function<Var(Tape&, const Var& x, const Var& weight)>;

struct Outcome {
  std::vector<double> gradients;
  std::size_t held = 0;  // bytes between forward and backward
};

Outcome run(Dtype dtype, bool recompute, const Shape& weight_shape, const Consumer& consumer) {
  const PoisonScope poison;
  const Shape s{2, 16, 24, 8}, vector{8};
  const Dtype parameter = dtype == Dtype::bf16 ? Dtype::f32 : dtype;
  Tape tape;
  const auto leaf = [&](const Shape& shape, Dtype type, std::uint64_t seed) {
    return tape.leaf(Tensor::of(shape, type, normal_values(shape.size(), seed)));
  };
  const Var x = leaf(s, dtype, 1), gamma = leaf(vector, parameter, 2), beta = leaf(vector, parameter, 3);
  const Var weight = leaf(weight_shape, parameter, 4);
  NormActOptions options;
  options.recompute = recompute;
  const std::size_t before = cpu_pool().stats().in_use;
  Var y = norm_act(tape, x, gamma, beta, {}, options).y;
  const Var z = consumer(tape, y, weight);
  y = Var();
  Outcome out;
  out.held = cpu_pool().stats().in_use - before;
  const Tensor cotangent = Tensor::of(z.shape(), z.value.dtype(), normal_values(z.shape().size(), 5));
  tape.backward(weighted_sum(tape, {z}, {cotangent}));
  for (const Var& v : {x, gamma, beta, weight}) {
    const std::vector<double> values = tape.gradient(v).values<double>();
    out.gradients.insert(out.gradients.end(), values.begin(), values.end());
  }
  return out;
}

TEST(Recompute, GivesTheSameGradientsAndFreesTheValue) {
  const std::vector<std::pair<Shape, Consumer>> consumers{
      {{2, 3, 3, 8},
       [](Tape& tape, const Var& x, const Var& weight) { return conv2d(tape, x, weight, {}, {.pad = 1}); }},
      {{2, 1, 1, 8}, [](Tape& tape, const Var& x, const Var& weight) { return pixel_linear(tape, x, weight, {}); }},
      {{8, 2, 2, 2},
       [](Tape& tape, const Var& x, const Var& weight) { return conv_transpose2d(tape, x, weight, {}); }}};
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
    for (const auto& [weight, consumer] : consumers) {
      const Outcome kept = run(dtype, false, weight, consumer), again = run(dtype, true, weight, consumer);
      EXPECT_EQ(kept.gradients, again.gradients) << weight.str();
      EXPECT_GE(kept.held - again.held, std::size_t{2 * 16 * 24 * 8} * size_of(dtype)) << weight.str();
    }
  }
}

}  // namespace
}  // namespace unet::tests::recompute_test
