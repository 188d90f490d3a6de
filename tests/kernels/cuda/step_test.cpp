// What a training step does to the arenas, on the device: gradient norm, verdict, Adam; and the images' way in.
#include "kernels/adam.h"
#include "kernels/grad_norm.h"
#include "kernels/normalize_images.h"
#include "kernels/step_control.h"
#include "tests/kernels/cuda/device_values.h"

namespace unet::kernels::test::step_test {
namespace {

class CudaStep : public CudaTest {};

Shape flat(std::int64_t size) { return {1, 1, 1, size}; }

SquareSum square_sum(const Ranges& x) {
  const std::vector<SquareSum> room(static_cast<std::size_t>(cuda::square_sums(x)));
  const DeviceValues<SquareSum> sums(room), again(room);
  cuda::sum_of_squares(x, sums.data());
  cuda::sum_of_squares(x, again.data());
  expect_same_bytes(sums.values(), again.values());
  SquareSum out;
  for (const SquareSum& of_block : sums.values()) {
    out.sum += of_block.sum;
    if (out.first_bad < 0) out.first_bad = of_block.first_bad;
  }
  return out;
}

SquareSum square_sum(const Values& numbers, Dtype dtype, std::int64_t offset = 0) {
  return square_sum(DeviceTensor(dtype, flat(static_cast<std::int64_t>(numbers.size())), numbers, 0, offset).view());
}

TEST_F(CudaStep, SumsOfSquares) {
  for (const Dtype dtype : device_dtypes()) {
    for (const std::int64_t size : {1, 7, 64, 4095, 16384, 16389, 70000}) {
      for (const std::int64_t offset : {0, 1}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + std::to_string(size) + " offset " + std::to_string(offset));
        Values x = random_values(1, dtype, size);
        double want = 0;
        for (const double value : x) want += value * value;
        const SquareSum sum = square_sum(x, dtype, offset);
        EXPECT_NEAR(sum.sum, want, 1e-12 * want);
        EXPECT_EQ(sum.first_bad, -1);
        x.back() = std::numeric_limits<double>::infinity();
        x[x.size() / 2] = std::numeric_limits<double>::quiet_NaN();
        const SquareSum bad = square_sum(x, dtype, offset);
        EXPECT_FALSE(std::isfinite(bad.sum));
        EXPECT_EQ(bad.first_bad, size / 2);
      }
    }
  }
}

/// A flat range whose first part is bf16: the gradients of a model that multiplies in bf16.
struct TwoParts {
  explicit TwoParts(std::int64_t narrow, std::int64_t wide)
      : numbers(random_values(1, Dtype::bf16, narrow)), behind(random_values(2, Dtype::f32, wide)) {
    numbers.insert(numbers.end(), behind.begin(), behind.end());
  }
  Values front() const { return {numbers.begin(), numbers.end() - static_cast<std::ptrdiff_t>(behind.size())}; }

  Values numbers, behind;  // all; those of the second part
};

TEST_F(CudaStep, SumsOfSquaresOfTwoParts) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [narrow, wide] : {std::pair{64, 64}, {16389, 7}, {70000, 40000}}) {
    for (const int bad : {-1, 3, narrow - 1, narrow, narrow + wide - 1}) {
      SCOPED_TRACE(std::to_string(narrow) + " and " + std::to_string(wide) + ", " + std::to_string(bad));
      TwoParts parts(narrow, wide);
      Values front = parts.front();
      if (bad >= narrow) parts.behind[static_cast<std::size_t>(bad - narrow)] = nan;
      if (bad >= 0 && bad < narrow) front[static_cast<std::size_t>(bad)] = nan;
      const DeviceTensor first(Dtype::bf16, flat(narrow), front), second(Dtype::f32, flat(wide), parts.behind);
      const SquareSum got = square_sum(Ranges(first.view(), second.view()));
      EXPECT_EQ(got.first_bad, bad);
      double want = 0;
      for (const double value : parts.numbers) want += value * value;
      if (bad < 0) {
        EXPECT_NEAR(got.sum, want, 1e-12 * want);
      }
    }
  }
}

TEST_F(CudaStep, OfNothingIsZero) {
  const SquareSum sum = square_sum({}, Dtype::f32);
  EXPECT_EQ(sum.sum, 0);
  EXPECT_EQ(sum.first_bad, -1);
}

TEST_F(CudaStep, DecidesAsTheCpu) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Case {
    double lr, clip, loss;
    std::vector<SquareSum> gradients;
    std::vector<SquareSum> statistics;
    std::int64_t of_range = 1;  // sums of a range
  };
  std::vector<SquareSum> many(700, SquareSum{0.25, -1});
  many[300].first_bad = 17;
  many[512].first_bad = 40;
  const Case cases[] = {{1e-3, 0, 0.5, {{4, -1}}, {{1, -1}, {2, -1}}},
                        {1e-3, 0.5, 0.5, {{4, -1}}, {}},
                        {1e-3, 50, 0.5, {{4, -1}}, {}},
                        {1e-3, 0, nan, {{4, -1}}, {{1, -1}}},
                        {-1, 0, 0.5, {{4, -1}}, {{1, -1}}},
                        {2e4, 0, 0.5, {{4, -1}}, {{1, -1}}},
                        {nan, 0, 0.5, {{4, -1}}, {{1, -1}}},
                        {1e-3, 1, 0.5, {{nan, 17}}, {{1, -1}}},
                        {1e-3, 0, 0.5, {{1e37, -1}}, {{1, -1}}},
                        {1e-3, 0, 0.5, {{4, -1}}, {{1, -1}, {nan, 3}, {nan, 5}}},
                        {1e-3, 0, 0.5, many, {{1, -1}, {2, -1}, {1, -1}, {nan, 4}, {nan, 2}, {nan, 1}}, 2}};
  for (const Case& c : cases) {
    StepControl want{.loss = 9};  // of the step before
    const DeviceValues<StepControl> got(std::vector<StepControl>{want});
    const std::vector<double> inputs{c.lr, c.clip, 0.25, 0.5, c.loss, c.loss};
    const auto block = [](const double* at) { return StepInputs{at, at + 1, at + 2, at + 4, 2}; };
    const auto count = static_cast<std::int64_t>(c.gradients.size());
    const std::int64_t ranges = static_cast<std::int64_t>(c.statistics.size()) / c.of_range;
    cpu::decide(&want, block(inputs.data()), {c.gradients.data(), count}, {c.statistics.data(), c.of_range}, ranges);
    const DeviceValues<double> inputs_there(inputs);
    const DeviceValues<SquareSum> gradients(c.gradients), statistics(c.statistics);
    cuda::decide(got.data(), block(inputs_there.data()), {gradients.data(), count}, {statistics.data(), c.of_range},
                 ranges);
    const StepControl seen = got.value();
    EXPECT_EQ(seen.verdict, want.verdict);
    expect_same({seen.lr, seen.loss, seen.grad_norm, seen.grad_scale},
                {want.lr, want.loss, want.grad_norm, want.grad_scale});
    EXPECT_EQ(seen.first_bad_gradient, want.first_bad_gradient);
    EXPECT_EQ(seen.first_bad_statistic, want.first_bad_statistic);
  }
}

TEST_F(CudaStep, ClocksAreTheCpus) {
  for (const StepVerdict verdict : {StepVerdict::commit, StepVerdict::bad_loss}) {
    AdamClock want{.steps = 41, .step_size = 7};
    const DeviceValues<AdamClock> got(std::vector<AdamClock>{want});
    const StepControl control{.lr = 1e-3, .verdict = verdict};
    const DeviceValues<StepControl> there(std::vector<StepControl>{control});
    cpu::adam_clock({}, &control, &want);
    cuda::adam_clock({}, there.data(), got.data());
    EXPECT_EQ(got.value().steps, want.steps);
    EXPECT_NEAR(got.value().step_size, want.step_size, 1e-14);  // powers of another library
    EXPECT_NEAR(got.value().root_factor, want.root_factor, 1e-12);
  }
}

TEST_F(CudaStep, AdamIsTheCpus) {
  for (const Dtype gradient_dtype : device_dtypes()) {
    for (const std::int64_t size : {64, 4096, 9024, 7}) {
      for (const bool decoupled : {false, true}) {
        SCOPED_TRACE(std::string(name_of(gradient_dtype)) + " " + std::to_string(size) +
                     (decoupled ? " decoupled" : ""));
        AdamSpec spec;
        spec.weight_decay = 0.125;
        spec.decoupled = decoupled;
        const StepControl control{.lr = 0.01, .grad_scale = 0.75};
        const DeviceValues<StepControl> there(std::vector<StepControl>{control});
        AdamClock clock;
        const Values g = random_values(1, gradient_dtype, size), p = random_values(2, Dtype::f32, size);
        // v is well above zero: an update of m / sqrt(v) would magnify the rounding of a gradient near zero.
        const Values m = random_values(3, Dtype::f32, size, 0, 0.1), v = random_values(4, Dtype::f32, size, 1, 0.1);
        Buffer cg(Dtype::f32, flat(size), g), cp(Dtype::f32, flat(size), p), cm(Dtype::f32, flat(size), m),
            cv(Dtype::f32, flat(size), v);
        DeviceTensor dg(gradient_dtype, flat(size), g), dp(Dtype::f32, flat(size), p), dm(Dtype::f32, flat(size), m),
            dv(Dtype::f32, flat(size), v), copy(Dtype::bf16, flat(size));
        for (int step = 0; step < 3; ++step) {
          cpu::adam_clock(spec, &control, &clock);
          cpu::adam(spec, &control, &clock, cg.view(), cp.view(), cm.view(), cv.view(), {});
          const DeviceValues<AdamClock> clock_there(std::vector<AdamClock>{clock});
          cuda::adam(spec, there.data(), clock_there.data(), dg.view(), dp.view(), dm.view(), dv.view(), copy.view());
        }
        expect_close(Dtype::f32, dp.values(), cp.values());
        expect_close(Dtype::f32, dm.values(), cm.values());
        expect_close(Dtype::f32, dv.values(), cv.values());
        Values rounded = dp.values();
        for (double& value : rounded) value = stored(Dtype::bf16, value);
        expect_same(copy.values(), rounded);
      }
    }
  }
}

TEST_F(CudaStep, AdamReadsGradientsOfTwoParts) {
  for (const auto& [narrow, wide] : {std::pair{64, 64}, {9024, 128}, {20000, 8192}, {7, 5}}) {
    SCOPED_TRACE(std::to_string(narrow) + " and " + std::to_string(wide));
    const std::int64_t size = narrow + wide;
    const TwoParts g(narrow, wide);
    const StepControl control{.lr = 0.01};
    const AdamClock clock{.step_size = 0.01};
    const Values p = random_values(3, Dtype::f32, size), m = random_values(4, Dtype::f32, size, 0, 0.1),
                 v = random_values(5, Dtype::f32, size, 1, 0.1);
    Buffer cg(Dtype::f32, flat(size), g.numbers), cp(Dtype::f32, flat(size), p), cm(Dtype::f32, flat(size), m),
        cv(Dtype::f32, flat(size), v);
    cpu::adam({}, &control, &clock, cg.view(), cp.view(), cm.view(), cv.view(), {});
    const DeviceTensor first(Dtype::bf16, flat(narrow), g.front()), second(Dtype::f32, flat(wide), g.behind);
    DeviceTensor dp(Dtype::f32, flat(size), p), dm(Dtype::f32, flat(size), m), dv(Dtype::f32, flat(size), v),
        copy(Dtype::bf16, flat(narrow));
    const DeviceValues<StepControl> there(std::vector<StepControl>{control});
    const DeviceValues<AdamClock> clock_there(std::vector<AdamClock>{clock});
    cuda::adam({}, there.data(), clock_there.data(), {first.view(), second.view()}, dp.view(), dm.view(), dv.view(),
               copy.view());
    expect_close(Dtype::f32, dp.values(), cp.values());
    expect_close(Dtype::f32, dm.values(), cm.values());
    expect_close(Dtype::f32, dv.values(), cv.values());
    Values rounded = dp.values();
    rounded.resize(static_cast<std::size_t>(narrow));
    for (double& value : rounded) value = stored(Dtype::bf16, value);
    expect_same(copy.values(), rounded);
  }
}

TEST_F(CudaStep, AdamFollowsTheVerdict) {
  const StepControl control{.lr = 0.01, .verdict = StepVerdict::bad_gradient};
  const DeviceValues<StepControl> there(std::vector<StepControl>{control});
  const DeviceValues<AdamClock> clock(std::vector<AdamClock>{{.steps = 1, .step_size = 0.01}});
  const Values p = random_values(2, Dtype::f32, 128), g = random_values(1, Dtype::f32, 128), zero(128, 0.0);
  DeviceTensor dg(Dtype::f32, flat(128), g), dp(Dtype::f32, flat(128), p), dm(Dtype::f32, flat(128), zero),
      dv(Dtype::f32, flat(128), zero), copy(Dtype::bf16, flat(128), zero);
  cuda::adam({}, there.data(), clock.data(), dg.view(), dp.view(), dm.view(), dv.view(), copy.view());
  expect_same(dp.values(), p);
  expect_same(dm.values(), zero);
  expect_same(dv.values(), zero);
  expect_same(copy.values(), zero);
}

TEST_F(CudaStep, ImagesAreNormalisedAndPadded) {
  for (const Dtype dtype : device_dtypes()) {
    for (const std::int64_t Cin : {1, 3, 4, 9}) {
      for (const std::int64_t C : {Cin, std::int64_t{8}, std::int64_t{11}, std::int64_t{16}}) {
        if (C < Cin) continue;
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + std::to_string(Cin) + " to " + std::to_string(C));
        const Shape in{2, 17, 19, Cin}, out{2, 17, 19, C};
        NormalizeSpec spec;
        for (std::int64_t c = 0; c < Cin; ++c) {
          spec.mean.push_back(0.4f + 0.01f * static_cast<float>(c));
          spec.deviation.push_back(0.2f + 0.01f * static_cast<float>(c));
        }
        std::mt19937_64 random(3);
        Values images;
        for (std::int64_t i = 0; i < in.size(); ++i) images.push_back(static_cast<double>(random() % 256));
        std::vector<std::uint8_t> bytes = bytes_of(images);
        Buffer want(Dtype::f32, out);
        cpu::normalize_images(spec, host_view(bytes, Dtype::u8, in), want.view());
        const DeviceTensor x(Dtype::u8, in, images);
        DeviceTensor y(dtype, out);
        cuda::normalize_images(spec, x.view(), y.view());
        expect_close(dtype, y.values(), want.values());
      }
    }
  }
}

}  // namespace
}  // namespace unet::kernels::test::step_test
