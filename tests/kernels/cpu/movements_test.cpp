// relu, elementwise, pad: exact against naive loops.
#include <array>

#include "kernels/cpu/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/max_pool.h"
#include "kernels/pad.h"
#include "kernels/relu.h"
#include "tests/kernels/shapes.h"

namespace unet::kernels::test::movements_test {
namespace {

/// Values with many ties and zeros, and a NaN where there is room for one.
Values coarse_values(std::uint64_t seed, Dtype dtype, std::int64_t size) {
  Values values = random_values(seed, dtype, size);
  for (double& value : values) value = std::round(value);
  if (size > 40) values[37] = std::nan("");
  return values;
}

/// Calls body(dtype, shape, gap) for every combination.
template <class Body>
void for_cases(Body&& body) {
  small_and_streamed([&] {
    for (const Dtype dtype : dtypes()) {
      for (const Shape& shape : shapes()) {
        for (const std::int64_t gap : {0, 3, 64}) {
          SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " gap " + std::to_string(gap));
          body(dtype, shape, gap);
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
  });
}

TEST(Movements, ReluForwardAndBackward) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    const Values from = coarse_values(1, dtype, shape.size());
    const Values gradient = random_values(2, dtype, shape.size());
    Buffer x(dtype, shape, from, gap), y(dtype, shape, gap), dy(dtype, shape, gradient, 2 * gap), dx(dtype, shape, gap);
    cpu::relu_forward(x.view(), y.view());
    cpu::relu_backward(x.view(), dy.view(), dx.view());
    Values want_y = from, want_dx = gradient;
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (from[i] < 0) want_y[i] = 0;
      if (from[i] <= 0) want_dx[i] = 0;
    }
    expect_same(y.values(), want_y);
    expect_same(dx.values(), want_dx);
  });
}

/// Every upper half of a float, with the lower halves around a tie.
TEST(Movements, CopyRoundsEveryFloatToTheNearestBf16AndBack) {
  constexpr std::array<std::uint32_t, 6> lower{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
  std::vector<std::uint32_t> floats;
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const std::uint32_t half : lower) floats.push_back(upper << 16 | half);
  }
  std::vector<std::uint16_t> halves(floats.size());
  std::vector<std::uint32_t> back(floats.size());
  const auto view = [&](auto& values, Dtype dtype) {
    View out;
    out.dtype = dtype;
    out.dims = {1, 1, 1, static_cast<std::int64_t>(values.size())};
    out.pitch = out.dims[3];
    out.data = values.data();
    return out;
  };
  cpu::copy(view(floats, Dtype::f32), view(halves, Dtype::bf16));
  cpu::copy(view(halves, Dtype::bf16), view(back, Dtype::f32));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < floats.size(); ++i) {
    const std::uint32_t x = floats[i], below = x >> 16, rest = x & 0xffff;
    const bool nan = (x & 0x7fffffff) > 0x7f800000, up = rest > 0x8000 || (rest == 0x8000 && below % 2 == 1);
    const std::uint32_t expected = nan ? below | 0x40 : below + up;
    if ((halves[i] != expected || back[i] != expected << 16) && ++wrong < 5) {
      ADD_FAILURE() << std::hex << x << " became " << halves[i] << " and " << back[i];
    }
  }
  EXPECT_EQ(wrong, 0u);
}

TEST(Movements, AddCopyFill) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    const Values a = random_values(3, dtype, shape.size());
    const Values b = random_values(4, dtype, shape.size());
    Values sum(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum[i] = dtype == Dtype::f64 ? a[i] + b[i] : stored(dtype, static_cast<float>(a[i]) + static_cast<float>(b[i]));
    }
    Buffer first(dtype, shape, a, gap), second(dtype, shape, b, 2 * gap), y(dtype, shape, gap);
    cpu::add(first.view(), second.view(), y.view());
    expect_same(y.values(), sum);
    Buffer accumulated(dtype, shape, a, 3 * gap);
    cpu::add_to(second.view(), accumulated.view());
    expect_same(accumulated.values(), sum);
    Buffer copied(dtype, shape, 2 * gap);
    cpu::copy(first.view(), copied.view());
    expect_same(copied.values(), a);
    cpu::fill(copied.view(), 0.7);
    expect_same(copied.values(), Values(a.size(), stored(dtype, 0.7)));
  });
}

TEST(Movements, CopyToAndFromBf16) {
  for (const Shape& shape : shapes()) {
    for (const std::int64_t gap : {0, 3, 64}) {
      SCOPED_TRACE(shape.text() + " gap " + std::to_string(gap));
      Values exact = random_values(9, Dtype::f32, shape.size());
      if (shape.size() > 40) exact[38] = std::nan("");
      exact[0] = 1 + 0x1p-8;  // half-way between two bf16: the even one is 1
      Values nearest = exact;
      for (double& value : nearest) value = stored(Dtype::bf16, value);
      EXPECT_EQ(nearest[0], 1);
      Buffer x(Dtype::f32, shape, exact, gap), half(Dtype::bf16, shape, 2 * gap), back(Dtype::f32, shape, gap);
      cpu::copy(x.view(), half.view());
      expect_same(half.values(), nearest);
      cpu::copy(half.view(), back.view());
      expect_same(back.values(), nearest);
    }
  }
  Buffer x(Dtype::f64, {1, 1, 1, 4}, Values(4)), y(Dtype::bf16, {1, 1, 1, 4});
  EXPECT_THROW(cpu::copy(x.view(), y.view()), std::logic_error);
}

TEST(Movements, CopyAndFillOfBytesAndIntegers) {
  const Shape shape{2, 3, 5, 7};
  std::vector<std::uint8_t> from(210), to(210 + 8, 9);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::uint8_t>(i);
  View x;
  x.dtype = Dtype::u8;
  x.dims = {shape.n, shape.h, shape.w, shape.c};
  x.pitch = shape.c;
  View y = x;
  x.data = from.data();
  y.data = to.data();
  cpu::copy(x, y);
  for (std::size_t i = 0; i < to.size(); ++i) EXPECT_EQ(to[i], i < 210 ? from[i] : 9);
  std::vector<std::int32_t> numbers(210, 1);
  View z = x;
  z.dtype = Dtype::i32;
  z.data = numbers.data();
  cpu::fill(z, -3);
  EXPECT_EQ(numbers, std::vector<std::int32_t>(210, -3));
}

TEST(Movements, PadAndCrop) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    const Values from = coarse_values(7, dtype, shape.size());
    for (const auto& [dh, dw] :
         {std::pair{0, 0}, {3, 0}, {0, 5}, {2, 1}, {-1, 0}, {0, -1}, {-1, 2}, {4, -2}, {-2, -3}}) {
      const Shape out{shape.n, shape.h + dh, shape.w + dw, shape.c};
      if (out.h < 1 || out.w < 1) continue;
      Buffer x(dtype, shape, from, gap), y(dtype, out, 2 * gap);
      cpu::pad_or_crop(x.view(), y.view());
      Values want(static_cast<std::size_t>(out.size()), 0);
      for (std::int64_t i = 0; i < out.size(); ++i) {
        const std::int64_t w = i / out.c % out.w;
        const std::int64_t h = i / (out.c * out.w) % out.h;
        const std::int64_t n = i / (out.c * out.w * out.h);
        if (h >= shape.h || w >= shape.w) continue;
        want[static_cast<std::size_t>(i)] =
            from[static_cast<std::size_t>(((n * shape.h + h) * shape.w + w) * shape.c + i % out.c)];
      }
      expect_same(y.values(), want);
    }
  });
}

TEST(Movements, TheSameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  const Shape shape{2, 61, 67, 33};
  for (const Dtype dtype : dtypes()) {
    const Values from = coarse_values(8, dtype, shape.size());
    const Values gradient = random_values(9, dtype, pooled(shape).size());
    const auto run = [&](int threads) {
      cpu::set_threads(threads);
      Buffer x(dtype, shape, from, 1), y(dtype, pooled(shape)), dy(dtype, pooled(shape), gradient), dx(dtype, shape);
      Buffer sum(dtype, shape), larger(dtype, {2, 64, 70, 33});
      cpu::max_pool_forward({}, x.view(), y.view());
      cpu::max_pool_backward({}, x.view(), dy.view(), dx.view());
      cpu::add(x.view(), dx.view(), sum.view());
      cpu::relu_forward(sum.view(), sum.view());
      cpu::pad_or_crop(sum.view(), larger.view());
      Values all = y.values();
      for (const Values& part : {dx.values(), sum.values(), larger.values()}) {
        all.insert(all.end(), part.begin(), part.end());
      }
      return all;
    };
    const Values one = run(1);
    expect_same(run(2), one);
    expect_same(run(3), one);
  }
  cpu::set_threads(before);
}

}  // namespace
}  // namespace unet::kernels::test::movements_test
