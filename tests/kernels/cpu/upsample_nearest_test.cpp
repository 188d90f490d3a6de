// upsample_nearest: exact against naive loops.
#include "kernels/upsample_nearest.h"

#include "kernels/cpu/parallel.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test::upsample_nearest_test {
namespace {

/// The elements of y that are x's element i, in scan order.
std::array<std::size_t, 4> copies_of(Shape x, std::int64_t i) {
  const std::int64_t c = i % x.c, w = i / x.c % x.w, row = i / (x.c * x.w);
  const auto at = [&](std::int64_t dh, std::int64_t dw) {
    return static_cast<std::size_t>(((2 * row + dh) * 2 * x.w + 2 * w + dw) * x.c + c);
  };
  return {at(0, 0), at(0, 1), at(1, 0), at(1, 1)};
}

TEST(UpsampleNearest, EqualsReference) {
  small_and_streamed([&] {
    for (const Dtype dtype : dtypes()) {
      for (const Shape& shape : shapes()) {
        for (const std::int64_t gap : {0, 3, 64}) {
          SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " gap " + std::to_string(gap));
          const Shape large{shape.n, 2 * shape.h, 2 * shape.w, shape.c};
          Values from = random_values(1, dtype, shape.size());
          from[from.size() / 2] = std::nan("");
          const Values gradient = random_values(2, dtype, large.size());
          Buffer x(dtype, shape, from, gap), y(dtype, large, 2 * gap), dy(dtype, large, gradient, gap),
              dx(dtype, shape, gap);
          cpu::upsample_nearest_forward(x.view(), y.view());
          cpu::upsample_nearest_backward(dy.view(), dx.view());
          Values want_y(gradient.size()), want_dx(from.size());
          for (std::int64_t i = 0; i < shape.size(); ++i) {
            const std::array<std::size_t, 4> at = copies_of(shape, i);
            for (const std::size_t to : at) want_y[to] = from[static_cast<std::size_t>(i)];
            const auto add = [&](double a, double b) {
              return dtype == Dtype::f64 ? a + b : static_cast<double>(static_cast<float>(a + b));
            };
            want_dx[static_cast<std::size_t>(i)] =
                stored(dtype, add(add(gradient[at[0]], gradient[at[1]]), add(gradient[at[2]], gradient[at[3]])));
          }
          expect_same(y.values(), want_y);
          expect_same(dx.values(), want_dx);
        }
      }
    }
  });
}

TEST(UpsampleNearest, TheSameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  const Shape shape{2, 31, 33, 41}, large{2, 62, 66, 41};
  const Values from = random_values(1, Dtype::f32, shape.size());
  const Values gradient = random_values(2, Dtype::f32, large.size());
  const auto run = [&](int threads) {
    cpu::set_threads(threads);
    Buffer x(Dtype::f32, shape, from), y(Dtype::f32, large), dy(Dtype::f32, large, gradient), dx(Dtype::f32, shape);
    cpu::upsample_nearest_forward(x.view(), y.view());
    cpu::upsample_nearest_backward(dy.view(), dx.view());
    Values all = y.values();
    const Values rest = dx.values();
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
  };
  const Values one = run(1);
  expect_same(run(2), one);
  expect_same(run(3), one);
  cpu::set_threads(before);
}

}  // namespace
}  // namespace unet::kernels::test::upsample_nearest_test
