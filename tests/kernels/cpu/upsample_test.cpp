#include "kernels/upsample.h"

#include "kernels/cpu/parallel.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test::upsample_test {
namespace {

struct Source {
  std::int64_t low, high;
  double weight;  // of high
};

Source source_of(std::int64_t out, std::int64_t size, bool align_corners) {
  const double at = align_corners ? static_cast<double>(out * (size - 1)) / static_cast<double>(2 * size - 1)
                                  : std::max(0.0, (static_cast<double>(out) + 0.5) / 2 - 0.5);
  const auto low = static_cast<std::int64_t>(at);
  return {low, std::min(low + 1, size - 1), at - static_cast<double>(low)};
}

/// Calls body(output element, input element, weight) for everything that contributes.
template <class Body>
void for_taps(Shape in, bool align_corners, Body&& body) {
  for (std::int64_t n = 0; n < in.n; ++n) {
    for (std::int64_t ho = 0; ho < 2 * in.h; ++ho) {
      const Source h = source_of(ho, in.h, align_corners);
      for (std::int64_t wo = 0; wo < 2 * in.w; ++wo) {
        const Source w = source_of(wo, in.w, align_corners);
        for (std::int64_t c = 0; c < in.c; ++c) {
          const std::int64_t out = ((n * 2 * in.h + ho) * 2 * in.w + wo) * in.c + c;
          const auto at = [&](std::int64_t row, std::int64_t column) {
            return ((n * in.h + row) * in.w + column) * in.c + c;
          };
          body(out, at(h.low, w.low), (1 - h.weight) * (1 - w.weight));
          body(out, at(h.low, w.high), (1 - h.weight) * w.weight);
          body(out, at(h.high, w.low), h.weight * (1 - w.weight));
          body(out, at(h.high, w.high), h.weight * w.weight);
        }
      }
    }
  }
}

double limit(Dtype dtype) { return dtype == Dtype::f64 ? 1e-28 : dtype == Dtype::f32 ? 1e-13 : 1e-5; }

TEST(Upsample, EqualsPyTorchsFormulaAndItsTranspose) {
  std::vector<Shape> all = shapes();
  all.push_back({1, 3, 70, 32});  // columns in several parts
  all.push_back({1, 2, 2, 130});
  all.push_back({1, 3, 4, 200});
  for (const Dtype dtype : dtypes()) {
    for (const Shape& shape : all) {
      for (const bool align_corners : {false, true}) {
        for (const std::int64_t gap : {0, 3}) {
          SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + (align_corners ? " aligned" : ""));
          const Shape large{shape.n, 2 * shape.h, 2 * shape.w, shape.c};
          const Values from = random_values(1, dtype, shape.size());
          const Values gradient = random_values(2, dtype, large.size());
          Buffer x(dtype, shape, from, gap), y(dtype, large, gap), dy(dtype, large, gradient, gap),
              dx(dtype, shape, gap);
          Values want_y(gradient.size(), 0), want_dx(from.size(), 0);
          for_taps(shape, align_corners, [&](std::int64_t out, std::int64_t in, double weight) {
            want_y[static_cast<std::size_t>(out)] += weight * from[static_cast<std::size_t>(in)];
            want_dx[static_cast<std::size_t>(in)] += weight * gradient[static_cast<std::size_t>(out)];
          });
          small_and_streamed([&] {
            cpu::upsample_bilinear_forward(x.view(), align_corners, y.view());
            cpu::upsample_bilinear_backward(dy.view(), align_corners, dx.view());
            ASSERT_LE(nmse(y.values(), want_y), limit(dtype));
            ASSERT_LE(nmse(dx.values(), want_dx), limit(dtype));
          });
        }
      }
    }
  }
}

TEST(Upsample, TheSameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  const Shape shape{2, 31, 33, 41};
  const Shape large{2, 62, 66, 41};
  const Values from = random_values(1, Dtype::f32, shape.size());
  const Values gradient = random_values(2, Dtype::f32, large.size());
  for (const bool align_corners : {false, true}) {
    const auto run = [&](int threads) {
      cpu::set_threads(threads);
      Buffer x(Dtype::f32, shape, from), y(Dtype::f32, large), dy(Dtype::f32, large, gradient), dx(Dtype::f32, shape);
      cpu::upsample_bilinear_forward(x.view(), align_corners, y.view());
      cpu::upsample_bilinear_backward(dy.view(), align_corners, dx.view());
      Values all = y.values();
      const Values rest = dx.values();
      all.insert(all.end(), rest.begin(), rest.end());
      return all;
    };
    const Values one = run(1);
    expect_same(run(2), one);
    expect_same(run(3), one);
  }
  cpu::set_threads(before);
}

}  // namespace
}  // namespace unet::kernels::test::upsample_test
