// pixel_linear against naive double-precision loops.
#include "kernels/pixel_linear.h"

#include "kernels/cpu/parallel.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test::pixel_linear_test {
namespace {

struct Case {
  Shape shape;
  std::int64_t outputs;

  std::string text() const { return shape.text() + " -> " + std::to_string(outputs); }
};

/// The shapes of all tests with one to many outputs, and one of several blocks of pixels.
std::vector<Case> cases() {
  std::vector<Case> all{{{2, 40, 37, 33}, 2}, {{1, 33, 40, 16}, 7}};
  const std::int64_t outputs[] = {1, 2, 3, 12};
  for (std::size_t i = 0; i < shapes().size(); ++i) all.push_back({shapes()[i], outputs[i % 4]});
  return all;
}

struct Results {
  Values y, dx, dweights, dbias;
};

/// Random operands of a case as `dtype` and its computing type store them.
struct Inputs {
  Inputs(const Case& of, Dtype dtype)
      : x(random_values(1, dtype, of.shape.size())),
        weights(random_values(2, compute_dtype(dtype), of.outputs * of.shape.c)),
        bias(random_values(3, compute_dtype(dtype), of.outputs)),
        dy(random_values(4, compute_dtype(dtype), of.shape.pixels() * of.outputs)) {}
  Values x, weights, bias, dy;
};

Results reference(const Case& of, const Inputs& in) {
  const std::int64_t K = of.outputs, C = of.shape.c;
  Results r{Values(in.dy.size()), Values(in.x.size()), Values(in.weights.size()), Values(in.bias.size())};
  for (std::int64_t p = 0; p < of.shape.pixels(); ++p) {
    for (std::int64_t k = 0; k < K; ++k) {
      const auto at_y = static_cast<std::size_t>(p * K + k);
      r.y[at_y] = in.bias[static_cast<std::size_t>(k)];
      r.dbias[static_cast<std::size_t>(k)] += in.dy[at_y];
      for (std::int64_t c = 0; c < C; ++c) {
        const auto at_x = static_cast<std::size_t>(p * C + c), at_w = static_cast<std::size_t>(k * C + c);
        r.y[at_y] += in.x[at_x] * in.weights[at_w];
        r.dx[at_x] += in.dy[at_y] * in.weights[at_w];
        r.dweights[at_w] += in.dy[at_y] * in.x[at_x];
      }
    }
  }
  return r;
}

Results run(const Case& of, Dtype dtype, const Inputs& in, bool over_x = false) {
  const Dtype compute = compute_dtype(dtype);
  const Shape s = of.shape, out{s.n, s.h, s.w, of.outputs}, matrix{of.outputs, 1, 1, s.c}, vector{1, 1, 1, of.outputs};
  Buffer x(dtype, s, in.x), weights(compute, matrix, in.weights), bias(compute, vector, in.bias), y(compute, out);
  cpu::pixel_linear_forward(x.view(), weights.view(), bias.view(), y.view());
  Buffer dy(compute, out, in.dy), dx(dtype, s), dweights(compute, matrix), dbias(compute, vector);
  const auto bytes = static_cast<std::int64_t>(cpu::pixel_linear_scratch(x.view(), of.outputs));
  Buffer scratch(Dtype::f64, {1, 1, 1, bytes / 8});
  cpu::pixel_linear_backward(x.view(), weights.view(), dy.view(), (over_x ? x : dx).view(), dweights.view(),
                             dbias.view(), scratch.view().data);
  return {y.values(), (over_x ? x : dx).values(), dweights.values(), dbias.values()};
}

// f32 sums of runs of 64 pixels and of C channels lose a few bits of 24: 1e-12 is 8 eps. dx in bf16 is rounded once:
// off by at most 2^-8 of itself, in the mean square a third of 2^-16 or less.
TEST(PixelLinear, EqualsReference) {
  small_and_streamed([&] {
    for (const Dtype dtype : dtypes()) {
      for (const Case& of : cases()) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + of.text());
        const Inputs in(of, dtype);
        const Results got = run(of, dtype, in), want = reference(of, in);
        const double bound = dtype == Dtype::f64 ? 1e-26 : 1e-12;
        EXPECT_LE(nmse(got.y, want.y), bound);
        EXPECT_LE(nmse(got.dx, want.dx), dtype == Dtype::bf16 ? 1e-5 : bound);
        EXPECT_LE(nmse(got.dweights, want.dweights), bound);
        EXPECT_LE(nmse(got.dbias, want.dbias), bound);
      }
    }
  });
}

TEST(PixelLinear, DxMayBeX) {
  small_and_streamed([&] {
    for (const Dtype dtype : dtypes()) {
      for (const Case& of : cases()) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + of.text());
        const Inputs in(of, dtype);
        const Results apart = run(of, dtype, in), over = run(of, dtype, in, true);
        expect_same(over.dx, apart.dx);
        expect_same(over.dweights, apart.dweights);
        expect_same(over.dbias, apart.dbias);
      }
    }
  });
}

TEST(PixelLinear, EachGradientAloneEqualsAllTogether) {
  const Case of{{2, 40, 37, 33}, 3};
  const Inputs in(of, Dtype::f32);
  const Results all = run(of, Dtype::f32, in);
  const Shape matrix{3, 1, 1, 33}, vector{1, 1, 1, 3};
  Buffer x(Dtype::f32, of.shape, in.x), weights(Dtype::f32, matrix, in.weights);
  Buffer dy(Dtype::f32, {2, 40, 37, 3}, in.dy), dx(Dtype::f32, of.shape), dweights(Dtype::f32, matrix);
  Buffer dbias(Dtype::f32, vector), y(Dtype::f32, {2, 40, 37, 3}), zero(Dtype::f32, vector, Values(3));
  Buffer scratch(Dtype::f64, {1, 1, 1, static_cast<std::int64_t>(cpu::pixel_linear_scratch(x.view(), 3)) / 8});
  void* memory = scratch.view().data;
  cpu::pixel_linear_backward(x.view(), weights.view(), dy.view(), dx.view(), {}, {}, memory);
  cpu::pixel_linear_backward(x.view(), weights.view(), dy.view(), {}, dweights.view(), {}, memory);
  cpu::pixel_linear_backward(x.view(), weights.view(), dy.view(), {}, {}, dbias.view(), memory);
  expect_same(dx.values(), all.dx);
  expect_same(dweights.values(), all.dweights);
  expect_same(dbias.values(), all.dbias);

  cpu::pixel_linear_forward(x.view(), weights.view(), {}, y.view());
  const Values without = y.values();
  cpu::pixel_linear_forward(x.view(), weights.view(), zero.view(), y.view());
  expect_same(without, y.values());
}

TEST(PixelLinear, SameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  for (const Dtype dtype : dtypes()) {
    for (const Case& of : {Case{{2, 75, 90, 37}, 2}, Case{{1, 50, 50, 8}, 5}}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + " " + of.text());
      const Inputs in(of, dtype);
      cpu::set_threads(1);
      const Results one = run(of, dtype, in);
      for (const int threads : {2, 3}) {
        cpu::set_threads(threads);
        const Results many = run(of, dtype, in);
        expect_same(many.y, one.y);
        expect_same(many.dx, one.dx);
        expect_same(many.dweights, one.dweights);
        expect_same(many.dbias, one.dbias);
      }
    }
  }
  cpu::set_threads(before);
}

TEST(PixelLinear, NanReachesWhatDependsOnIt) {
  const Case of{{1, 3, 5, 20}, 3};
  Inputs in(of, Dtype::f32);
  in.x[4 * 20 + 18] = std::nan("");
  in.dy[7 * 3 + 1] = std::nan("");
  const Results got = run(of, Dtype::f32, in);
  for (std::size_t i = 0; i < got.y.size(); ++i) EXPECT_EQ(std::isnan(got.y[i]), i / 3 == 4) << i;
  for (std::size_t i = 0; i < got.dx.size(); ++i) EXPECT_EQ(std::isnan(got.dx[i]), i / 20 == 7) << i;
  for (std::size_t i = 0; i < got.dweights.size(); ++i) {
    EXPECT_EQ(std::isnan(got.dweights[i]), i / 20 == 1 || i % 20 == 18) << i;
  }
  for (std::size_t k = 0; k < got.dbias.size(); ++k) EXPECT_EQ(std::isnan(got.dbias[k]), k == 1) << k;
}

}  // namespace
}  // namespace unet::kernels::test::pixel_linear_test
