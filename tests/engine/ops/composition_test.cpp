// Gate: norm_act with its options, and join, equal the composition of the reference ops, forward and backward, to
// rounding. The composition is norm_act without anything, then add, relu, max_pool2d, concat.
//
// The bounds. Both sides compute the normalisation by the same expression, and relu, max and concat round nothing, so
// without a residual only two additions differ in kind: the gradient of y and of pooled are added inside the fused
// kernel or by the tape. With a residual, z = norm + r is rounded once more in the composition (and the fused kernel
// may contract). An output therefore differs by at most a few roundings of its own size: 4 eps max|y|. A gradient
// passes dz, two products and two subtractions: 8 eps of the largest, and the sums dgamma, dbeta over M pixels, in
// which the roundings of the terms add up at most linearly and in practice like sqrt(M): 8 eps sqrt(M) of the largest.
#include <cmath>

#include "tests/support/op_case.h"

namespace unet::tests::composition_test {
namespace {

struct Block {
  std::string name;
  Shape x;
  bool relu = true, pool = true, residual = false, training = true, joined = true;
};

/// Block: norm [+ residual] [+ relu] [+ pool], its y joined with a transposed convolution's result.
std::vector<Var> block(const Block& b, bool fused, Tape& tape, const std::vector<Var>& in) {
  const Dtype dtype = in[0].value.dtype();
  const Shape vector{b.x[3]};
  RunningStats stats;
  if (!b.training) {
    stats.mean = Tensor::of(vector, dtype, normal_values(vector.size(), 1));
    stats.variance = Tensor::of(vector, dtype, std::vector<double>(static_cast<std::size_t>(vector.size()), 0.75));
  }
  const std::int64_t up_channels = in[4].shape()[3];
  const Tensor cat =
      b.joined && fused ? Tensor::empty({b.x[0], b.x[1], b.x[2], b.x[3] + up_channels}, dtype) : Tensor();
  NormActOptions options;
  options.training = b.training;
  options.relu = fused && b.relu;
  options.pool = fused && b.pool;
  if (fused && b.residual) options.residual = in[5];
  if (cat.defined()) options.out = cat.slice(0, b.x[3]);
  NormActResult result = norm_act(tape, in[0], in[1], in[2], stats, options);
  if (!fused) {
    if (b.residual) result.y = add(tape, result.y, in[5]);
    if (b.relu) result.y = relu(tape, result.y);
    if (b.pool) result.pooled = max_pool2d(tape, result.y);
  }
  if (b.joined) {
    const Tensor out = cat.defined() ? cat.slice(b.x[3], cat.shape()[3]) : Tensor();
    const Var up = conv_transpose2d(tape, in[3], in[4], {}, out);
    result.y = fused ? join(tape, cat, {result.y, up}) : concat(tape, {result.y, up});
  }
  return b.pool ? std::vector<Var>{result.y, result.pooled} : std::vector<Var>{result.y};
}

class Composition : public testing::TestWithParam<Block> {
 protected:
  void check(Dtype dtype) {
    const PoisonScope poison;
    const Block& b = GetParam();
    const std::int64_t C = b.x[3];
    std::vector<Tensor> inputs;
    const auto give = [&](const Shape& shape, std::uint64_t stream) {
      inputs.push_back(Tensor::of(shape, dtype, normal_values(shape.size(), stream)));
    };
    give(b.x, 11);
    give({C}, 12);
    give({C}, 13);
    give({b.x[0], std::max<std::int64_t>(1, b.x[1] / 2), std::max<std::int64_t>(1, b.x[2] / 2), 3}, 14);
    give({3, 2, 2, 5}, 15);
    if (b.residual) give(b.x, 16);
    std::vector<Tensor> cotangents;
    const Shape y{b.x[0], b.x[1], b.x[2], C + (b.joined ? 5 : 0)};
    cotangents.push_back(Tensor::of(y, dtype, normal_values(y.size(), 17)));
    if (b.pool) {
      const Shape pooled{b.x[0], b.x[1] / 2, b.x[2] / 2, C};
      cotangents.push_back(Tensor::of(pooled, dtype, normal_values(pooled.size(), 18)));
    }
    const auto pass = [&](bool fused) {
      const OpCase op_case{
          b.name, {}, [&](Tape& tape, const std::vector<Var>& in) { return block(b, fused, tape, in); }};
      return run_pass(op_case, inputs, cotangents);
    };
    const PassResult fused = pass(true), composed = pass(false);
    const double eps = std::numeric_limits<float>::epsilon();
    const double M = static_cast<double>(b.x.size() / C);
    for (std::size_t i = 0; i < composed.outputs.size(); ++i) {
      EXPECT_LE(max_relative(fused.outputs[i], composed.outputs[i]), dtype == Dtype::f64 ? 1e-12 : 4 * eps)
          << "output " << i;
    }
    for (std::size_t i = 0; i < composed.gradients.size(); ++i) {
      if (!b.joined && (i == 3 || i == 4)) continue;
      const double f32_bound = (i == 1 || i == 2) ? 8 * eps * std::sqrt(M) : 8 * eps;
      EXPECT_LE(max_relative(fused.gradients[i], composed.gradients[i]), dtype == Dtype::f64 ? 1e-12 : f32_bound)
          << "gradient " << i;
    }
  }
};

TEST_P(Composition, F64) { check(Dtype::f64); }
TEST_P(Composition, F32) { check(Dtype::f32); }

INSTANTIATE_TEST_SUITE_P(
    NormActAndJoin, Composition,
    testing::Values(
        Block{.name = "relu_pool_join", .x = {2, 8, 6, 16}}, Block{.name = "unet_size", .x = {2, 32, 32, 32}},
        Block{.name = "odd_channels", .x = {1, 4, 10, 7}}, Block{.name = "one_window", .x = {3, 2, 2, 5}},
        Block{.name = "relu_join", .x = {2, 4, 4, 8}, .pool = false},
        Block{.name = "pool_of_odd", .x = {2, 7, 5, 9}, .joined = false},
        Block{.name = "residual", .x = {2, 6, 4, 8}, .pool = false, .residual = true},
        Block{.name = "residual_pool", .x = {2, 6, 8, 12}, .residual = true},
        Block{.name = "pool_without_relu", .x = {1, 6, 6, 8}, .relu = false},
        Block{.name = "residual_without_relu", .x = {1, 4, 6, 3}, .relu = false, .pool = false, .residual = true},
        Block{.name = "inference", .x = {2, 4, 6, 8}, .training = false},
        Block{.name = "inference_residual_pool", .x = {2, 4, 4, 11}, .residual = true, .training = false}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace unet::tests::composition_test
