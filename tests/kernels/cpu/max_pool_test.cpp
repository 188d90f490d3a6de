// max_pool: exact against naive loops.
#include "kernels/max_pool.h"

#include "kernels/cpu/parallel.h"
#include "tests/kernels/pool_reference.h"

namespace unet::kernels::test::max_pool_test {
namespace {

PoolResult run(const PoolSpec& spec, Dtype dtype, Shape shape, const Values& from, const Values& gradient,
               std::int64_t gap) {
  Buffer x(dtype, shape, from, gap), y(dtype, pooled(spec, shape), gap), dx(dtype, shape, gap);
  Buffer dy(dtype, pooled(spec, shape), gradient, 2 * gap);
  cpu::max_pool_forward(spec, x.view(), y.view());
  cpu::max_pool_backward(spec, x.view(), dy.view(), dx.view());
  return {y.values(), dx.values()};
}

TEST(MaxPool, EqualsReference) {
  std::vector<Shape> all = shapes();
  all.push_back({1, 8, 1, 9});
  all.push_back({1, 3, 67, 70});  // windows and channels in several parts
  all.push_back({3, 5, 130, 16});
  small_and_streamed([&] {
    for (const PoolSpec& spec : pool_specs()) {
      for (const Dtype dtype : dtypes()) {
        for (const Shape& shape : all) {
          for (const std::int64_t gap : {0, 3, 64}) {
            SCOPED_TRACE(std::to_string(spec.kernel) + " " + name_of(dtype) + " " + shape.text() + " gap " +
                         std::to_string(gap));
            const Values from = pool_values(5, dtype, shape);
            const Values gradient = random_values(6, dtype, pooled(spec, shape).size());
            const PoolResult got = run(spec, dtype, shape, from, gradient, gap);
            const PoolResult want = pool_reference(spec, dtype, shape, from, gradient);
            expect_same(got.y, want.y);
            expect_same(got.dx, want.dx);
            if (::testing::Test::HasFailure()) return;
          }
        }
      }
    }
  });
}

TEST(MaxPool, TheBorderNeverWins) {
  const double least = -std::numeric_limits<double>::infinity();
  const Shape shape{1, 4, 5, 20};
  const Values from(static_cast<std::size_t>(shape.size()), least);
  const Shape out = pooled({3, 2, 1}, shape);
  const Values gradient(static_cast<std::size_t>(out.size()), 1);
  const PoolResult got = run({3, 2, 1}, Dtype::f32, shape, from, gradient, 0);
  expect_same(got.y, Values(gradient.size(), least));
  for (std::size_t i = 0; i < got.dx.size(); ++i) {  // the first pixel inside wins each of the windows
    const std::size_t w = i / 20 % 5, h = i / 100;
    EXPECT_EQ(got.dx[i], (h < 2 && w < 4 && (h == 1 || h == 0) && (w == 0 || w % 2 == 1)) ? 1 : 0) << i;
  }
}

TEST(MaxPool, TheSameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  const Shape shape{3, 61, 127, 33};
  for (const PoolSpec& spec : pool_specs()) {
    for (const Dtype dtype : dtypes()) {
      const Values from = pool_values(8, dtype, shape);
      const Values gradient = random_values(9, dtype, pooled(spec, shape).size());
      cpu::set_threads(1);
      const PoolResult one = run(spec, dtype, shape, from, gradient, 1);
      for (const int threads : {2, 3}) {
        cpu::set_threads(threads);
        const PoolResult many = run(spec, dtype, shape, from, gradient, 1);
        expect_same(many.y, one.y);
        expect_same(many.dx, one.dx);
      }
    }
  }
  cpu::set_threads(before);
}

TEST(MaxPool, OtherWindowsAreRefused) {
  Buffer x(Dtype::f32, {1, 6, 6, 1}, Values(36)), y(Dtype::f32, {1, 2, 2, 1}, Values(4));
  EXPECT_THROW(cpu::max_pool_forward({3, 3, 0}, x.view(), y.view()), std::logic_error);
  EXPECT_THROW(cpu::max_pool_backward({3, 2, 0}, x.view(), y.view(), x.view()), std::logic_error);
}

}  // namespace
}  // namespace unet::kernels::test::max_pool_test
