// The transposed convolution against the formula of kernels/conv_transpose.h, dense and pitched.
#include "kernels/conv_transpose.h"

#include <gtest/gtest.h>

#include "kernels/cpu/parallel.h"
#include "tests/kernels/cpu/conv_reference.h"

namespace unet::kernels::conv_transpose_test {
namespace {

using test::Buffer;
using test::nmse;
using test::Values;
using test::Workspace;

struct Case {
  std::int64_t N, H, W, Cin, Cout, extra;  // extra: pitch of y and dy beyond Cout
  bool bias;
};

const Case kCases[] = {{1, 1, 1, 1, 1, 0, false},  {1, 1, 1, 5, 3, 4, true},       {2, 3, 5, 17, 8, 8, true},
                       {1, 7, 4, 3, 17, 0, true},  {3, 16, 15, 64, 32, 32, true},  {2, 9, 31, 130, 65, 7, false},
                       {1, 40, 33, 8, 4, 4, true}, {2, 8, 8, 256, 128, 128, true}, {1, 80, 80, 3, 96, 0, true}};

struct Result {
  Values y, dx, dweights, dbias;
};

Result reference(const Case& t, const Values& x, const Values& weights, const Values& bias, const Values& dy) {
  Result r{Values(dy.size()), Values(x.size()), Values(weights.size()), Values(bias.size())};
  for (std::int64_t n = 0; n < t.N; ++n)
    for (std::int64_t h = 0; h < t.H; ++h)
      for (std::int64_t w = 0; w < t.W; ++w)
        for (std::int64_t i = 0; i < 2; ++i)
          for (std::int64_t j = 0; j < 2; ++j)
            for (std::int64_t co = 0; co < t.Cout; ++co) {
              const auto at_y = static_cast<std::size_t>((((n * t.H + h) * 2 + i) * 2 * t.W + 2 * w + j) * t.Cout + co);
              r.dbias[static_cast<std::size_t>(co)] += dy[at_y];
              double sum = t.bias ? bias[static_cast<std::size_t>(co)] : 0;
              for (std::int64_t ci = 0; ci < t.Cin; ++ci) {
                const auto at_x = static_cast<std::size_t>(((n * t.H + h) * t.W + w) * t.Cin + ci);
                const auto at_w = static_cast<std::size_t>(((ci * 2 + i) * 2 + j) * t.Cout + co);
                sum += x[at_x] * weights[at_w];
                r.dx[at_x] += dy[at_y] * weights[at_w];
                r.dweights[at_w] += dy[at_y] * x[at_x];
              }
              r.y[at_y] = sum;
            }
  return r;
}

Result run(const Case& t, Dtype dtype, const Values& x_values, const Values& w_values, const Values& bias_values,
           const Values& dy_values) {
  const Dtype parameters = test::compute_dtype(dtype);
  const Buffer x(dtype, {t.N, t.H, t.W, t.Cin}, x_values), weights(parameters, {t.Cin, 2, 2, t.Cout}, w_values);
  const Buffer bias(parameters, {1, 1, 1, t.Cout}, bias_values);
  const Buffer dy(dtype, {t.N, 2 * t.H, 2 * t.W, t.Cout}, dy_values, t.extra);
  const Buffer y(dtype, {t.N, 2 * t.H, 2 * t.W, t.Cout}, t.extra);
  const Buffer dx(dtype, {t.N, t.H, t.W, t.Cin}), dweights(parameters, {t.Cin, 2, 2, t.Cout});
  const Buffer dbias(parameters, {1, 1, 1, t.Cout});
  Workspace scratch(cpu::conv_transpose_scratch(x.view(), t.Cout));
  cpu::conv_transpose_forward(x.view(), weights.view(), t.bias ? ConstView(bias.view()) : ConstView{}, y.view(),
                              scratch.data());
  cpu::conv_transpose_backward(x.view(), weights.view(), dy.view(), dx.view(), dweights.view(), dbias.view(),
                               scratch.data());
  EXPECT_TRUE(y.intact() && dx.intact() && scratch.intact());
  EXPECT_TRUE(dweights.intact() && dbias.intact());
  return {y.values(), dx.values(), dweights.values(), dbias.values()};
}

TEST(ConvTranspose, EqualsReferenceDenseAndPitched) {
  for (const Case& t : kCases) {
    SCOPED_TRACE(testing::Message() << "x [" << t.N << "," << t.H << "," << t.W << "," << t.Cin << "], Cout " << t.Cout
                                    << ", pitch " << t.Cout + t.extra);
    Values x = test::random_values(t.N * t.H * t.W * t.Cin, 1);
    const Values weights = test::random_values(t.Cin * 4 * t.Cout, 2);
    const Values bias = test::random_values(t.Cout, 3);
    Values dy = test::random_values(t.N * t.H * t.W * 4 * t.Cout, 4);
    for (Values* activation : {&x, &dy}) {  // as bf16 stores them
      *activation = Buffer(Dtype::bf16, {1, 1, 1, static_cast<std::int64_t>(activation->size())}, *activation).values();
    }
    const Result expected = reference(t, x, weights, bias, dy);
    for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
      const double exact = dtype == Dtype::f64 ? 1e-28 : 1e-12;
      const auto bound = [&](const Values& v) { return dtype == Dtype::bf16 ? test::bf16_products(v.size()) : exact; };
      const Result result = run(t, dtype, x, weights, bias, dy);
      EXPECT_LE(nmse(result.y, expected.y), bound(expected.y)) << name_of(dtype);
      EXPECT_LE(nmse(result.dx, expected.dx), bound(expected.dx)) << name_of(dtype);
      EXPECT_LE(nmse(result.dweights, expected.dweights), exact) << name_of(dtype);
      EXPECT_LE(nmse(result.dbias, expected.dbias), exact) << name_of(dtype);
    }
  }
}

TEST(ConvTranspose, SameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  const Case t{2, 33, 40, 64, 48, 16, true};
  const Values x = test::random_values(t.N * t.H * t.W * t.Cin, 1);
  const Values weights = test::random_values(t.Cin * 4 * t.Cout, 2);
  const Values bias = test::random_values(t.Cout, 3);
  const Values dy = test::random_values(t.N * t.H * t.W * 4 * t.Cout, 4);
  std::vector<Result> results;
  for (const int threads : {1, 2, 3}) {
    cpu::set_threads(threads);
    results.push_back(run(t, Dtype::f32, x, weights, bias, dy));
  }
  cpu::set_threads(before);
  for (const Result& result : results) {
    EXPECT_EQ(result.y, results[0].y);
    EXPECT_EQ(result.dx, results[0].dx);
    EXPECT_EQ(result.dweights, results[0].dweights);
    EXPECT_EQ(result.dbias, results[0].dbias);
  }
}

}  // namespace
}  // namespace unet::kernels::conv_transpose_test
