// norm_act against the CPU's op and against the formulas, with the same cases as the CPU's own tests.
#include <array>

#include "tests/kernels/cuda/harness.h"
#include "tests/kernels/norm_act_case.h"

namespace unet::kernels::test::norm_act_test {
namespace {

using CudaNormAct = CudaTest;

NormActResults run_on_device(Dtype dtype, Shape shape, const NormActOptions& options, const NormActInputs& in,
                             const Wanted& wanted = {}) {
  const Shape vector{1, 1, 1, shape.c};
  const NormActSpec spec{options.relu, test_epsilon, options.training};
  const std::int64_t gap = options.gap;
  DeviceTensor x(dtype, shape, in.x, gap), gamma(Dtype::f32, vector, in.gamma), beta(Dtype::f32, vector, in.beta);
  DeviceTensor mean(Dtype::f32, vector, options.training ? Values{} : in.mean);
  DeviceTensor rstd(Dtype::f32, vector, options.training ? Values{} : in.rstd);
  DeviceTensor unbiased_var(Dtype::f32, vector), residual(dtype, shape, in.residual, 2 * gap), y(dtype, shape, gap);
  DeviceTensor pool(dtype, pooled(shape), gap), dy(dtype, shape, in.dy, 3 * gap);
  DeviceTensor dpool(dtype, pooled(shape), in.dpooled, gap), dx(dtype, shape, gap), dgamma(Dtype::f32, vector);
  DeviceTensor dbeta(Dtype::f32, vector), dresidual(dtype, shape, gap);
  const DeviceMemory scratch(cuda::norm_act_scratch(x.view()));
  const View none;
  const auto if_wanted = [&](bool is, const DeviceTensor& tensor) { return is ? tensor.view() : none; };

  if (options.training) {
    cuda::batch_statistics(x.view(), test_epsilon, mean.view(), rstd.view(), unbiased_var.view(), scratch.data());
  }
  cuda::norm_act_forward(spec, x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(),
                         if_wanted(options.residual, residual), if_wanted(options.with_y, y),
                         if_wanted(options.pool, pool));
  cuda::norm_act_backward(spec, x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(),
                          if_wanted(options.residual, residual), if_wanted(options.with_y, dy),
                          if_wanted(options.pool, dpool), wanted.over_x ? x.view() : if_wanted(wanted.dx, dx),
                          if_wanted(wanted.dgamma, dgamma), if_wanted(wanted.dbeta, dbeta),
                          if_wanted(wanted.dresidual && options.residual, dresidual), scratch.data());
  NormActResults out;
  out.mean = mean.values();
  out.rstd = rstd.values();
  out.unbiased_var = unbiased_var.values();
  out.y = y.values();
  out.pooled = pool.values();
  out.dx = (wanted.over_x ? x : dx).values();
  out.dgamma = dgamma.values();
  out.dbeta = dbeta.values();
  out.dresidual = dresidual.values();
  return out;
}

std::vector<NormActOptions> all_options(const std::vector<std::int64_t>& gaps) {
  std::vector<NormActOptions> all;
  for (int bits = 0; bits < 16; ++bits) {
    for (const std::int64_t gap : gaps) {
      for (const bool with_y : {true, false}) {
        NormActOptions options;
        options.relu = (bits & 1) != 0;
        options.training = (bits & 2) != 0;
        options.residual = (bits & 4) != 0;
        options.pool = (bits & 8) != 0;
        options.gap = gap;
        options.with_y = with_y;
        if (with_y || options.pool) all.push_back(options);
      }
    }
  }
  return all;
}

/// want: by the CPU, or by the formulas, on the same numbers in f32 or (`stored_too`) as stored; `direct` as the
/// formulas have it.
void expect_results(Dtype dtype, const NormActOptions& options, const NormActResults& got, const NormActResults& want,
                    const Values& direct, bool stored_too) {
  const double roundings = stored_too ? 2 : 1;
  if (options.training) {
    EXPECT_LE(nmse(got.mean, want.mean), 1e-12);
    EXPECT_LE(nmse(got.rstd, want.rstd), 1e-12);
    EXPECT_LE(nmse(got.unbiased_var, want.unbiased_var), 1e-12);
  }
  // z is a sum of terms of order 1, which may cancel: in f32 the error is measured by them.
  const auto expect_sums = [&](const Values& a, const Values& b) {
    if (dtype == Dtype::bf16) return expect_close(dtype, a, b, 1e-12, roundings);
    EXPECT_LE(nmse(a, b, Values(b.size(), 1)), 1e-12);
  };
  if (options.with_y) expect_sums(got.y, want.y);
  if (options.pool) expect_sums(got.pooled, want.pooled);
  if (options.residual) expect_close(dtype, got.dresidual, want.dresidual, 1e-12, roundings);
  EXPECT_LE(nmse(got.dgamma, want.dgamma), 1e-11);  // sums of terms that cancel in part
  EXPECT_LE(nmse(got.dbeta, want.dbeta), 1e-11);
  // A few pixels leave nothing of dx but rounding errors: its size is what it would be without the statistics.
  EXPECT_LE(nmse(got.dx, want.dx, direct), dtype == Dtype::f32 ? 1e-12 : kBf16Rounding * kBf16Rounding);
}

TEST_F(CudaNormAct, IsTheCpusForAllOptionsShapesAndTypes) {
  std::uint64_t seed = 1;
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : shapes()) {
      for (NormActOptions options : all_options({0})) {
        options.gap = std::array{0, 5, 8}[seed / 10 % 3];
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " " + options.text());
        const NormActInputs in(seed += 10, dtype, shape);
        const NormActResults got = run_on_device(dtype, shape, options, in);
        // In bf16 the pool's winner is found among values as stored, so there the CPU has to store them, too.
        const Dtype of_cpu = options.pool ? dtype : Dtype::f32;
        const NormActResults want = run_norm_act(of_cpu, shape, options, in);
        const Values direct = reference_norm_act(of_cpu, shape, options, in, options.training ? got.mean : in.mean,
                                                 options.training ? got.rstd : in.rstd)
                                  .direct;
        expect_results(dtype, options, got, want, direct, of_cpu == dtype);
        if (HasFailure()) return;
      }
    }
  }
}

// Many blocks, each of several turns, and more channels than a block has threads for.
TEST_F(CudaNormAct, IsTheCpusForManyBlocks) {
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : {Shape{2, 63, 45, 40}, Shape{1, 9, 11, 600}}) {
      for (const bool pool : {false, true}) {
        NormActOptions options;
        options.pool = pool;
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " " + options.text());
        const NormActInputs in(99, dtype, shape);
        const NormActResults got = run_on_device(dtype, shape, options, in);
        const NormActResults want =
            reference_norm_act(dtype, shape, options, in, got.mean, got.rstd);  // winners by the same statistics
        expect_results(dtype, options, got, want, want.direct, true);
      }
    }
  }
}

TEST_F(CudaNormAct, OnePixelNormalisesToBeta) {
  for (const Dtype dtype : device_dtypes()) {
    const Shape shape{1, 1, 1, 24};
    const NormActInputs in(5, dtype, shape);
    NormActOptions options;
    options.relu = false;
    const NormActResults got = run_on_device(dtype, shape, options, in);
    expect_same(got.mean, in.x);
    expect_same(got.unbiased_var, Values(24, 0));
    for (std::size_t c = 0; c < 24; ++c) EXPECT_EQ(got.y[c], stored(dtype, in.beta[c]));
    expect_same(got.dx, Values(24, 0));
    expect_same(got.dbeta, in.dy);
  }
}

TEST_F(CudaNormAct, DxMayBeX) {
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : {Shape{2, 7, 9, 24}, Shape{1, 6, 5, 35}, Shape{2, 63, 45, 8}}) {
      for (const NormActOptions& options : all_options({0, 5})) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " " + options.text());
        const NormActInputs in(31, dtype, shape);
        const NormActResults apart = run_on_device(dtype, shape, options, in);
        const NormActResults over = run_on_device(dtype, shape, options, in, {.over_x = true});
        expect_same(over.dx, apart.dx);
        expect_same(over.dgamma, apart.dgamma);
        expect_same(over.dresidual, apart.dresidual);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(CudaNormAct, WritesOnlyWhatIsWanted) {
  const Shape shape{1, 3, 4, 40};
  for (const Dtype dtype : device_dtypes()) {
    for (const bool pool : {false, true}) {
      for (const bool training : {false, true}) {
        NormActOptions options;
        options.residual = true;
        options.pool = pool;
        options.training = training;
        const NormActInputs in(77, dtype, shape);
        const NormActResults all = run_on_device(dtype, shape, options, in);
        for (int bits = 0; bits < 16; ++bits) {
          SCOPED_TRACE(std::string(name_of(dtype)) + " " + options.text() + " wanted " + std::to_string(bits));
          const Wanted wanted{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
          const NormActResults some = run_on_device(dtype, shape, options, in, wanted);
          const auto expect = [&](bool want, const Values& got, const Values& of_all) {
            expect_same(got, want ? of_all : Values(of_all.size(), std::nan("")));
          };
          expect(wanted.dx, some.dx, all.dx);
          expect(wanted.dgamma, some.dgamma, all.dgamma);
          expect(wanted.dbeta, some.dbeta, all.dbeta);
          expect(wanted.dresidual, some.dresidual, all.dresidual);
        }
        options.with_y = false;
        if (pool) expect_same(run_on_device(dtype, shape, options, in).pooled, all.pooled);
      }
    }
  }
}

// Small integers make every operation exact, and ties, zeros and closed ReLUs frequent: the first maximum must win.
TEST_F(CudaNormAct, TiesAndZerosAreExact) {
  for (const Shape shape : {Shape{2, 9, 8, 37}, Shape{2, 7, 9, 16}}) {
    for (const Dtype dtype : device_dtypes()) {
      for (const NormActOptions& options : all_options({0, 8})) {
        if (options.training) continue;
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + options.text());
        NormActInputs in(11, dtype, shape);
        for (Values* values : {&in.x, &in.residual, &in.dy, &in.dpooled}) {
          for (double& value : *values) value = std::round(value);
        }
        in.gamma.assign(in.gamma.size(), 2);
        in.beta.assign(in.beta.size(), -1);
        in.mean.assign(in.mean.size(), 1);
        in.rstd.assign(in.rstd.size(), 0.5);
        const NormActResults got = run_on_device(dtype, shape, options, in);
        const NormActResults want = run_norm_act(dtype, shape, options, in);
        expect_same(got.y, want.y);
        expect_same(got.pooled, want.pooled);
        expect_same(got.dx, want.dx);
        expect_same(got.dbeta, want.dbeta);
        expect_same(got.dgamma, want.dgamma);
        expect_same(got.dresidual, want.dresidual);
      }
    }
  }
}

// z is made of rounding errors only: a backward pass that rounded z in another way than the forward pass would open
// other ReLUs and find other winners.
TEST_F(CudaNormAct, BackwardSeesTheBitsThatForwardWrote) {
  const Shape shape{2, 17, 16, 52};
  NormActInputs in(21, Dtype::f32, shape);
  std::mt19937_64 generator(3);
  for (std::size_t i = 0; i < in.x.size(); ++i) {
    const std::size_t c = i % 52;
    in.x[i] = stored(Dtype::f32, 1.3 + 0x1p-23 * static_cast<double>(generator() % 9));
    in.beta[c] = stored(Dtype::f32, -(in.x[c] - in.mean[c]) * in.rstd[c] * in.gamma[c]);
    in.residual[i] = stored(Dtype::f32, 0x1p-23 * static_cast<double>(generator() % 3) / 4);
  }
  in.dy.assign(in.dy.size(), 1);
  in.dpooled.assign(in.dpooled.size(), 4);
  NormActOptions options;
  options.training = false;
  options.residual = true;
  const NormActResults plain = run_on_device(Dtype::f32, shape, options, in);
  Values open(plain.y.size());
  double count = 0;
  for (std::size_t i = 0; i < open.size(); ++i) count += open[i] = plain.y[i] > 0 ? 1 : 0;
  expect_same(plain.dresidual, open);
  EXPECT_GT(count, 0.2 * static_cast<double>(open.size()));
  EXPECT_LT(count, 0.8 * static_cast<double>(open.size()));

  options.pool = true;
  const NormActResults with_pool = run_on_device(Dtype::f32, shape, options, in);
  expect_same(with_pool.y, plain.y);
  for_windows(shape, [&](std::int64_t, const std::int64_t(&at)[4]) {
    double window[4];
    for (int k = 0; k < 4; ++k) window[k] = plain.y[static_cast<std::size_t>(at[k])];
    const int k = winner(window);
    if (window[k] > 0) open[static_cast<std::size_t>(at[k])] += 4;
  });
  expect_same(with_pool.dresidual, open);
}

TEST_F(CudaNormAct, NanSpreadsThroughReluAndPool) {
  const Shape shape{1, 6, 7, 24};
  for (const Dtype dtype : device_dtypes()) {
    NormActInputs in(31, dtype, shape);
    in.x[(2 * 7 + 3) * 24 + 20] = std::nan("");
    for (const bool training : {false, true}) {
      NormActOptions options;
      options.pool = true;
      options.training = training;
      const NormActResults got = run_on_device(dtype, shape, options, in);
      const NormActResults want = run_norm_act(dtype, shape, options, in);
      const auto same_places = [](const Values& a, const Values& b) {
        for (std::size_t i = 0; i < b.size(); ++i) ASSERT_EQ(std::isnan(a[i]), std::isnan(b[i])) << i;
      };
      same_places(got.mean, want.mean);
      same_places(got.y, want.y);
      same_places(got.pooled, want.pooled);
      same_places(got.dx, want.dx);
      same_places(got.dgamma, want.dgamma);
    }
  }
}

TEST_F(CudaNormAct, StatisticsOfManyValuesKeepSixDigits) {
  struct Case {
    Shape shape;
    double mean, sd;
  };
  for (const Case& test :
       {Case{{1, 300, 400, 10}, 100, 1}, Case{{1, 600, 600, 1}, 0.01, 1}, Case{{1, 300, 300, 8}, 1e-3, 1e-3},
        Case{{1, 300, 300, 4}, -3000, 0.5}, Case{{1, 200, 300, 4}, 5, -1}}) {
    SCOPED_TRACE(test.shape.text() + " mean " + std::to_string(test.mean));
    Values x = random_values(41, Dtype::f32, test.shape.size(), test.mean, std::abs(test.sd));
    if (test.sd < 0) {  // an outlier in the first pixels
      for (std::size_t i = 0; i < 64; ++i) x[i] = -1000;
    }
    const Shape vector{1, 1, 1, test.shape.c};
    DeviceTensor dev_x(Dtype::f32, test.shape, x), mean(Dtype::f32, vector), rstd(Dtype::f32, vector);
    DeviceTensor unbiased_var(Dtype::f32, vector);
    const DeviceMemory scratch(cuda::norm_act_scratch(dev_x.view()));
    cuda::batch_statistics(dev_x.view(), 0, mean.view(), rstd.view(), unbiased_var.view(), scratch.data());
    const Values got_mean = mean.values(), got_rstd = rstd.values(), got_var = unbiased_var.values();
    const auto M = static_cast<long double>(test.shape.pixels());
    const auto C = static_cast<std::size_t>(test.shape.c);
    for (std::size_t c = 0; c < C; ++c) {
      long double sum = 0, square = 0;
      for (std::size_t i = c; i < x.size(); i += C) sum += static_cast<long double>(x[i]);
      const long double exact = sum / M;
      for (std::size_t i = c; i < x.size(); i += C) {
        const long double apart = static_cast<long double>(x[i]) - exact;
        square += apart * apart;
      }
      EXPECT_NEAR(got_mean[c] / static_cast<double>(exact), 1, 1e-6);
      EXPECT_NEAR(got_var[c] / static_cast<double>(square / (M - 1)), 1, 1e-6);
      EXPECT_NEAR(got_rstd[c] * std::sqrt(static_cast<double>(square / M)), 1, 1e-6);
    }
  }
}

TEST_F(CudaNormAct, RunsAreTheSameBitForBit) {
  const Shape shape{3, 33, 35, 48};
  for (const Dtype dtype : device_dtypes()) {
    NormActOptions options;
    options.residual = options.pool = true;
    const NormActInputs in(51, dtype, shape);
    const NormActResults one = run_on_device(dtype, shape, options, in);
    for (int run = 0; run < 2; ++run) {
      const NormActResults again = run_on_device(dtype, shape, options, in);
      expect_same(again.mean, one.mean);
      expect_same(again.rstd, one.rstd);
      expect_same(again.y, one.y);
      expect_same(again.pooled, one.pooled);
      expect_same(again.dx, one.dx);
      expect_same(again.dgamma, one.dgamma);
      expect_same(again.dbeta, one.dbeta);
    }
  }
}

}  // namespace
}  // namespace unet::kernels::test::norm_act_test
