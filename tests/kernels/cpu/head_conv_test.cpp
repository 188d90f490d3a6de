// head_conv against naive double-precision loops.
#include "kernels/head_conv.h"

#include "kernels/cpu/parallel.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test::head_conv_test {
namespace {

struct Case {
  Shape shape;
  std::int64_t outputs;

  std::string text() const { return shape.text() + " -> " + std::to_string(outputs); }
  std::int64_t weights() const { return outputs * 9 * shape.c; }
};

/// The shapes of all tests and of networks' heads, wide, narrow and odd.
std::vector<Case> cases() {
  std::vector<Case> all{{{2, 40, 37, 16}, 2}, {{1, 9, 150, 16}, 12}, {{2, 3, 20, 2}, 1},  {{1, 5, 40, 4}, 2},
                        {{2, 6, 19, 8}, 3},   {{1, 4, 33, 5}, 20},   {{1, 30, 2, 12}, 2}, {{1, 1, 70, 7}, 2}};
  const std::int64_t outputs[] = {1, 2, 3, 12};
  for (std::size_t i = 0; i < shapes().size(); ++i) all.push_back({shapes()[i], outputs[i % 4]});
  return all;
}

struct Results {
  Values y, dx, dweights;
};

/// Random operands of a case as `dtype` and its computing type store them.
struct Inputs {
  Inputs(const Case& of, Dtype dtype)
      : x(random_values(1, dtype, of.shape.size())),
        weights(random_values(2, compute_dtype(dtype), of.weights())),
        bias(random_values(3, compute_dtype(dtype), of.outputs)),
        dy(random_values(4, compute_dtype(dtype), of.shape.pixels() * of.outputs)) {}
  Values x, weights, bias, dy;
};

/// Calls body(place in y, place in x, place in the weights) for every product.
template <class Body>
void for_products(const Case& of, Body&& body) {
  const auto [N, H, W, C] = of.shape;
  const std::int64_t K = of.outputs;
  for (std::int64_t p = 0; p < of.shape.pixels(); ++p) {
    const std::int64_t w = p % W, h = p / W % H;
    for (std::int64_t tap = 0; tap < 9; ++tap) {
      const std::int64_t dh = tap / 3 - 1, dw = tap % 3 - 1;
      if (h + dh < 0 || h + dh >= H || w + dw < 0 || w + dw >= W) continue;
      for (std::int64_t k = 0; k < K; ++k) {
        for (std::int64_t c = 0; c < C; ++c) {
          body(static_cast<std::size_t>(p * K + k), static_cast<std::size_t>((p + dh * W + dw) * C + c),
               static_cast<std::size_t>((k * 9 + tap) * C + c));
        }
      }
    }
  }
}

Results reference(const Case& of, const Inputs& in) {
  Results r{Values(in.dy.size()), Values(in.x.size()), Values(in.weights.size())};
  for (std::size_t i = 0; i < r.y.size(); ++i) r.y[i] = in.bias[i % in.bias.size()];
  for_products(of, [&](std::size_t y, std::size_t x, std::size_t w) {
    r.y[y] += in.x[x] * in.weights[w];
    r.dx[x] += in.dy[y] * in.weights[w];
    r.dweights[w] += in.dy[y] * in.x[x];
  });
  return r;
}

struct Operands {
  Operands(const Case& of, Dtype dtype, const Inputs& in)
      : x(dtype, of.shape, in.x),
        dx(dtype, of.shape),
        weights(compute_dtype(dtype), {of.outputs, 3, 3, of.shape.c}, in.weights),
        dweights(compute_dtype(dtype), {of.outputs, 3, 3, of.shape.c}),
        bias(compute_dtype(dtype), {1, 1, 1, of.outputs}, in.bias),
        y(compute_dtype(dtype), {of.shape.n, of.shape.h, of.shape.w, of.outputs}),
        dy(compute_dtype(dtype), {of.shape.n, of.shape.h, of.shape.w, of.outputs}, in.dy),
        scratch(Dtype::f64,
                {1, 1, 1, static_cast<std::int64_t>(cpu::head_conv_scratch(x.view(), of.outputs) / sizeof(double))}) {}
  Buffer x, dx, weights, dweights, bias, y, dy, scratch;
};

Results run(const Case& of, Dtype dtype, const Inputs& in) {
  Operands at(of, dtype, in);
  cpu::head_conv_forward(at.x.view(), at.weights.view(), at.bias.view(), at.y.view());
  cpu::head_conv_backward(at.x.view(), at.weights.view(), at.dy.view(), at.dx.view(), at.dweights.view(),
                          at.scratch.view().data);
  EXPECT_TRUE(at.scratch.intact());
  return {at.y.values(), at.dx.values(), at.dweights.values()};
}

// f32 sums of runs of 64 pixels and of 9 C channels lose a few bits of 24: 1e-12 is 8 eps. dx in bf16 is rounded once:
// off by at most 2^-8 of itself, in the mean square a third of 2^-16 or less.
TEST(HeadConv, EqualsReference) {
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
      }
    }
  });
}

TEST(HeadConv, EachGradientAloneEqualsBothTogetherAndABiasMayBeAbsent) {
  const Case of{{2, 40, 37, 13}, 3};
  const Inputs in(of, Dtype::f32);
  const Results both = run(of, Dtype::f32, in);
  Operands at(of, Dtype::f32, in);
  cpu::head_conv_backward(at.x.view(), at.weights.view(), at.dy.view(), at.dx.view(), {}, nullptr);
  cpu::head_conv_backward(at.x.view(), at.weights.view(), at.dy.view(), {}, at.dweights.view(), at.scratch.view().data);
  expect_same(at.dx.values(), both.dx);
  expect_same(at.dweights.values(), both.dweights);

  Inputs without = in;
  without.bias.assign(3, 0);
  cpu::head_conv_forward(at.x.view(), at.weights.view(), {}, at.y.view());
  expect_same(at.y.values(), run(of, Dtype::f32, without).y);
}

TEST(HeadConv, SameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  for (const Dtype dtype : dtypes()) {
    for (const Case& of : {Case{{2, 75, 90, 16}, 2}, Case{{1, 50, 50, 7}, 5}}) {
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
      }
    }
  }
  cpu::set_threads(before);
}

TEST(HeadConv, NanReachesWhatDependsOnIt) {
  const Case of{{2, 5, 40, 20}, 3};
  Inputs in(of, Dtype::f32);
  const std::size_t bad_x = (203 * 20) + 18, bad_dy = (71 * 3) + 1;  // in the second image, in the first
  in.x[bad_x] = in.dy[bad_dy] = std::nan("");
  const Results got = run(of, Dtype::f32, in);
  std::vector<bool> y(got.y.size()), dx(got.dx.size()), dweights(got.dweights.size());
  for_products(of, [&](std::size_t at_y, std::size_t at_x, std::size_t at_w) {
    if (at_x == bad_x) y[at_y] = true;
    if (at_y == bad_dy) dx[at_x] = true;
    if (at_x == bad_x || at_y == bad_dy) dweights[at_w] = true;
  });
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(got.y[i]), y[i]) << i;
  for (std::size_t i = 0; i < dx.size(); ++i) EXPECT_EQ(std::isnan(got.dx[i]), dx[i]) << i;
  for (std::size_t i = 0; i < dweights.size(); ++i) EXPECT_EQ(std::isnan(got.dweights[i]), dweights[i]) << i;
}

}  // namespace
}  // namespace unet::kernels::test::head_conv_test
