#include <fmt/core.h>

#include "tests/kernels/norm_act_case.h"

#include "kernels/cpu/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/max_pool.h"
#include "kernels/relu.h"
#include "tests/support/long_run.h"

namespace unet::kernels::test::norm_act_test {
namespace {

std::vector<NormActOptions> all_options() {
  std::vector<NormActOptions> all;
  for (int bits = 0; bits < 32; ++bits) {
    for (const bool with_y : {true, false}) {
      NormActOptions options;
      options.relu = (bits & 1) != 0;
      options.training = (bits & 2) != 0;
      options.residual = (bits & 4) != 0;
      options.pool = (bits & 8) != 0;
      options.gap = (bits & 16) != 0 ? 5 : 0;
      options.with_y = with_y;
      if (with_y || options.pool) all.push_back(options);
    }
  }
  return all;
}

/// y, pooled and the gradients against the reference.
void expect_close(Dtype dtype, const NormActOptions& options, const NormActResults& got, const NormActResults& want) {
  const double limit = tolerance(dtype);
  const double sum_limit = tolerance(compute_dtype(dtype)) * 10;  // sums of terms that cancel in part
  if (options.with_y) {
    EXPECT_LE(nmse(got.y, want.y), limit);
  }
  if (options.pool) {
    EXPECT_LE(nmse(got.pooled, want.pooled), limit);
  }
  if (options.residual) {
    EXPECT_LE(nmse(got.dresidual, want.dresidual), limit);
  }
  EXPECT_LE(nmse(got.dgamma, want.dgamma), sum_limit);
  EXPECT_LE(nmse(got.dbeta, want.dbeta), sum_limit);
  EXPECT_LE(nmse(got.dx, want.dx, want.direct), limit);  // a few pixels leave nothing of dx but rounding errors
}

TEST(NormAct, EqualsTheFormulasForAllOptionsShapesAndTypes) {
  std::uint64_t seed = 1;
  for (const Dtype dtype : dtypes()) {
    for (const Shape shape : shapes()) {
      for (const NormActOptions& options : all_options()) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " " + options.text());
        const NormActInputs in(seed += 10, dtype, shape);
        const NormActResults got = run_norm_act(dtype, shape, options, in);
        const NormActResults want = reference_norm_act(dtype, shape, options, in, options.training ? got.mean : in.mean,
                                                       options.training ? got.rstd : in.rstd);
        if (options.training) {
          const double limit = tolerance(compute_dtype(dtype));
          EXPECT_LE(nmse(got.mean, want.mean), limit);
          EXPECT_LE(nmse(got.rstd, want.rstd), limit);
          EXPECT_LE(nmse(got.unbiased_var, want.unbiased_var), limit);
        }
        expect_close(dtype, options, got, want);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(NormAct, OnePixelNormalisesToBeta) {
  for (const Dtype dtype : dtypes()) {
    const Shape shape{1, 1, 1, 19};
    const NormActInputs in(5, dtype, shape);
    NormActOptions options;
    options.relu = false;
    const NormActResults got = run_norm_act(dtype, shape, options, in);
    expect_same(got.mean, in.x);
    expect_same(got.unbiased_var, Values(19, 0));
    for (std::size_t c = 0; c < 19; ++c) EXPECT_EQ(got.y[c], stored(dtype, in.beta[c]));
    expect_same(got.dx, Values(19, 0));
    expect_same(got.dbeta, in.dy);
  }
}

TEST(NormAct, DxMayBeX) {
  small_and_streamed([&] {
    for (const Dtype dtype : dtypes()) {
      for (const Shape shape : {Shape{2, 7, 9, 24}, Shape{1, 6, 5, 35}, Shape{2, 64, 48, 32}}) {
        for (const NormActOptions& options : all_options()) {
          SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " " + options.text());
          const NormActInputs in(31, dtype, shape);
          const NormActResults apart = run_norm_act(dtype, shape, options, in);
          const NormActResults over = run_norm_act(dtype, shape, options, in, {.over_x = true});
          expect_same(over.dx, apart.dx);
          expect_same(over.dgamma, apart.dgamma);
          expect_same(over.dresidual, apart.dresidual);
          if (HasFailure()) return;
        }
      }
    }
  });
}

TEST(NormAct, WritesOnlyWhatIsWanted) {
  const Shape shape{2, 5, 6, 35};
  for (const Dtype dtype : dtypes()) {
    for (const bool pool : {false, true}) {
      for (const bool training : {false, true}) {
        NormActOptions options;
        options.residual = true;
        options.pool = pool;
        options.training = training;
        const NormActInputs in(77, dtype, shape);
        const NormActResults all = run_norm_act(dtype, shape, options, in);
        for (int bits = 0; bits < 16; ++bits) {
          SCOPED_TRACE(std::string(name_of(dtype)) + " " + options.text() + " wanted " + std::to_string(bits));
          const Wanted wanted{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
          const NormActResults some = run_norm_act(dtype, shape, options, in, wanted);
          const double nan = std::nan("");
          const auto expect = [&](bool want, const Values& got, const Values& of_all) {
            expect_same(got, want ? of_all : Values(of_all.size(), nan));
          };
          expect(wanted.dx, some.dx, all.dx);
          expect(wanted.dgamma, some.dgamma, all.dgamma);
          expect(wanted.dbeta, some.dbeta, all.dbeta);
          expect(wanted.dresidual, some.dresidual, all.dresidual);
        }
        options.with_y = false;
        if (pool) expect_same(run_norm_act(dtype, shape, options, in).pooled, all.pooled);
      }
    }
  }
}

// Small integers make every operation exact, and ties, zeros and closed ReLUs frequent: the first maximum must win.
TEST(NormAct, TiesAndZerosAreExact) {
  const Shape shape{2, 9, 8, 37};
  for (const Dtype dtype : dtypes()) {
    for (const NormActOptions& options : all_options()) {
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
      const NormActResults got = run_norm_act(dtype, shape, options, in);
      const NormActResults want = reference_norm_act(dtype, shape, options, in, in.mean, in.rstd);
      if (options.with_y) expect_same(got.y, want.y);
      if (options.pool) expect_same(got.pooled, want.pooled);
      expect_same(got.dx, want.dx);
      expect_same(got.dbeta, want.dbeta);
      expect_same(got.dgamma, want.dgamma);
      if (options.residual) expect_same(got.dresidual, want.dresidual);
    }
  }
}

// z is made of rounding errors only: a backward pass that rounded z in another way than the forward pass would open
// other ReLUs and find other winners.
TEST(NormAct, BackwardSeesTheBitsThatForwardWrote) {
  const Shape shape{2, 33, 32, 53};
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    NormActInputs in(21, dtype, shape);
    const double ulp = dtype == Dtype::f64 ? 0x1p-52 : 0x1p-23;
    std::mt19937_64 generator(3);
    for (std::size_t i = 0; i < in.x.size(); ++i) {
      const std::size_t c = i % 53;
      in.x[i] = stored(dtype, 1.3 + ulp * static_cast<double>(generator() % 9));
      in.beta[c] = stored(dtype, -(in.x[c] - in.mean[c]) * in.rstd[c] * in.gamma[c]);
      in.residual[i] = stored(dtype, ulp * static_cast<double>(generator() % 3) / 4);
    }
    in.dy.assign(in.dy.size(), 1);
    in.dpooled.assign(in.dpooled.size(), 4);
    NormActOptions options;
    options.training = false;
    options.residual = true;
    const NormActResults plain = run_norm_act(dtype, shape, options, in);
    std::size_t open = 0;
    for (std::size_t i = 0; i < plain.y.size(); ++i) {
      ASSERT_EQ(plain.dresidual[i], plain.y[i] > 0 ? 1 : 0) << "element " << i;
      open += plain.y[i] > 0 ? 1 : 0;
    }
    EXPECT_GT(open, plain.y.size() / 5);
    EXPECT_LT(open, plain.y.size() * 4 / 5);

    options.pool = true;
    const NormActResults with_pool = run_norm_act(dtype, shape, options, in);
    expect_same(with_pool.y, plain.y);
    Values want(plain.y.size());
    for (std::size_t i = 0; i < want.size(); ++i) want[i] = plain.y[i] > 0 ? 1 : 0;
    for_windows(shape, [&](std::int64_t, const std::int64_t(&at)[4]) {
      double window[4];
      for (int k = 0; k < 4; ++k) window[k] = plain.y[static_cast<std::size_t>(at[k])];
      const int k = winner(window);
      if (window[k] > 0) want[static_cast<std::size_t>(at[k])] += 4;
    });
    expect_same(with_pool.dresidual, want);
  }
}

TEST(NormAct, NanSpreadsThroughReluAndPool) {
  const Shape shape{1, 6, 7, 21};
  for (const Dtype dtype : dtypes()) {
    NormActInputs in(31, dtype, shape);
    const std::size_t element = (2 * 7 + 3) * 21 + 20;  // h 2, w 3, the last channel: window (1, 1)
    in.x[element] = std::nan("");
    NormActOptions options;
    options.pool = true;
    options.training = false;
    const NormActResults fixed = run_norm_act(dtype, shape, options, in);
    for (std::size_t i = 0; i < fixed.y.size(); ++i) ASSERT_EQ(std::isnan(fixed.y[i]), i == element) << i;
    for (std::size_t i = 0; i < fixed.pooled.size(); ++i) {
      ASSERT_EQ(std::isnan(fixed.pooled[i]), i == (1 * 3 + 1) * 21 + 20) << i;
    }
    EXPECT_TRUE(std::isnan(fixed.dgamma[20]));
    options.training = true;
    const NormActResults batch = run_norm_act(dtype, shape, options, in);
    for (std::size_t c = 0; c < 21; ++c) {
      EXPECT_EQ(std::isnan(batch.mean[c]), c == 20);
      EXPECT_EQ(std::isnan(batch.rstd[c]), c == 20);
      EXPECT_EQ(std::isnan(batch.unbiased_var[c]), c == 20);
      EXPECT_EQ(std::isnan(batch.dx[c]), c == 20);
      EXPECT_EQ(std::isnan(batch.pooled[c]), c == 20);
    }
  }
}

TEST(NormAct, StatisticsOfManyValuesKeepSixDigits) {
  struct Case {
    Shape shape;
    double mean, sd;
  };
  std::vector<Case> cases{{{1, 1000, 1000, 10}, 100, 1},
                          {{1, 3000, 3000, 1}, 0.01, 1},
                          {{1, 1000, 1000, 2}, 1e-3, 1e-3},
                          {{1, 1000, 1000, 2}, -3000, 0.5}};
  if (unet::tests::long_run()) cases = {{{1, 10000, 10000, 1}, 100, 1}, {{1, 10000, 5000, 2}, -3000, 0.5}};
  double worst = 0;
  for (const Case& test : cases) {
    SCOPED_TRACE(test.shape.text() + " mean " + std::to_string(test.mean));
    const Values x = random_values(41, Dtype::f32, test.shape.size(), test.mean, test.sd);
    Buffer buffer(Dtype::f32, test.shape, x);
    const Shape vector{1, 1, 1, test.shape.c};
    Buffer mean(Dtype::f32, vector);
    Buffer rstd(Dtype::f32, vector);
    Buffer unbiased_var(Dtype::f32, vector);
    std::vector<double> scratch(cpu::norm_act_scratch(buffer.view()) / sizeof(double));
    cpu::batch_statistics(buffer.view(), 0, mean.view(), rstd.view(), unbiased_var.view(), scratch.data());
    const auto M = static_cast<long double>(test.shape.pixels());
    const auto C = static_cast<std::size_t>(test.shape.c);
    for (std::size_t c = 0; c < C; ++c) {
      long double sum = 0;
      for (std::size_t i = c; i < x.size(); i += C) sum += static_cast<long double>(x[i]);
      const long double exact_mean = sum / M;
      long double square = 0;
      for (std::size_t i = c; i < x.size(); i += C) {
        const long double apart = static_cast<long double>(x[i]) - exact_mean;
        square += apart * apart;
      }
      const auto exact_var = static_cast<double>(square / (M - 1));
      const auto k = static_cast<std::int64_t>(c);
      for (const double ratio : {mean.get(k) / static_cast<double>(exact_mean), unbiased_var.get(k) / exact_var,
                                 rstd.get(k) * std::sqrt(static_cast<double>(square / M))}) {
        EXPECT_NEAR(ratio, 1, 1e-6);
        worst = std::max(worst, std::fabs(ratio - 1));
      }
    }
  }
  RecordProperty("relative_error", fmt::format("{:.1e}", worst));
}

// The first pixels, on which a block's first shift rests, are far away from all others.
TEST(NormAct, OutliersInTheFirstPixelsCostNoDigits) {
  const Shape shape{1, 400, 500, 3};
  Values x = random_values(43, Dtype::f32, shape.size(), 5, 1);
  for (std::size_t i = 0; i < 16 * 3; ++i) x[i] = -1000;
  Buffer buffer(Dtype::f32, shape, x);
  const Shape vector{1, 1, 1, 3};
  Buffer mean(Dtype::f32, vector), rstd(Dtype::f32, vector), var(Dtype::f32, vector);
  std::vector<double> scratch(cpu::norm_act_scratch(buffer.view()) / sizeof(double));
  cpu::batch_statistics(buffer.view(), 0, mean.view(), rstd.view(), var.view(), scratch.data());
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, square = 0;
    for (std::size_t i = c; i < x.size(); i += 3) sum += x[i] / 200000;
    for (std::size_t i = c; i < x.size(); i += 3) square += (x[i] - sum) * (x[i] - sum) / 199999;
    EXPECT_NEAR(mean.get(static_cast<std::int64_t>(c)) / sum, 1, 1e-6);
    EXPECT_NEAR(var.get(static_cast<std::int64_t>(c)) / square, 1, 1e-6);
  }
}

TEST(NormAct, TheSameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  for (const Dtype dtype : dtypes()) {
    for (const bool pool : {false, true}) {
      const Shape shape{3, 65, 67, 49};  // several blocks
      const NormActInputs in(51, dtype, shape);
      NormActOptions options;
      options.residual = true;
      options.pool = pool;
      cpu::set_threads(1);
      const NormActResults one = run_norm_act(dtype, shape, options, in);
      for (const int threads : {2, 3}) {
        SCOPED_TRACE(std::to_string(threads) + " threads, " + name_of(dtype));
        cpu::set_threads(threads);
        const NormActResults many = run_norm_act(dtype, shape, options, in);
        expect_same(many.mean, one.mean);
        expect_same(many.rstd, one.rstd);
        expect_same(many.unbiased_var, one.unbiased_var);
        expect_same(many.y, one.y);
        expect_same(many.pooled, one.pooled);
        expect_same(many.dx, one.dx);
        expect_same(many.dgamma, one.dgamma);
        expect_same(many.dbeta, one.dbeta);
        expect_same(many.dresidual, one.dresidual);
      }
    }
  }
  cpu::set_threads(before);
}

TEST(NormAct, StreamedOutputsAreTheSame) {
  for (const Dtype dtype : dtypes()) {
    for (const std::int64_t gap : {0, 64}) {
      const Shape shape{2, 9, 7, 64};
      const NormActInputs in(61, dtype, shape);
      NormActOptions options;
      options.pool = true;
      options.gap = gap;
      std::vector<NormActResults> results;
      small_and_streamed([&] { results.push_back(run_norm_act(dtype, shape, options, in)); });
      expect_same(results[0].y, results[1].y);
      expect_same(results[0].dx, results[1].dx);
    }
  }
}

TEST(Streaming, OnlyLargeOutputsOfWholeAlignedVectors) {
  View view;
  view.dtype = Dtype::f32;
  view.dims = {2, 256, 256, 64};
  view.pitch = 64;
  view.data = reinterpret_cast<void*>(std::uintptr_t{4096});  // not accessed
  EXPECT_TRUE(cpu::worth_streaming(view));
  view.pitch = 128;
  EXPECT_TRUE(cpu::worth_streaming(view));
  view.pitch = 65;
  EXPECT_FALSE(cpu::worth_streaming(view));
  view.pitch = 64;
  view.data = reinterpret_cast<void*>(std::uintptr_t{4096 + 32});
  EXPECT_FALSE(cpu::worth_streaming(view));
  view.data = nullptr;
  EXPECT_FALSE(cpu::worth_streaming(view));
  view.data = reinterpret_cast<void*>(std::uintptr_t{4096});
  view.dims = {2, 128, 128, 64};
  EXPECT_FALSE(cpu::worth_streaming(view));
  view.dims = {2, 256, 256, 72};
  view.pitch = 80;
  EXPECT_FALSE(cpu::worth_streaming(view));
}

TEST(NormAct, EqualsTheCompositionOfReferenceOps) {
  const Shape shape{2, 11, 14, 40};
  const Shape vector{1, 1, 1, shape.c};
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const NormActInputs in(71, dtype, shape);
    NormActOptions options;
    options.pool = true;
    const NormActResults fused = run_norm_act(dtype, shape, options, in);

    const NormActSpec spec{false, test_epsilon, true};
    Buffer x(dtype, shape, in.x), gamma(dtype, vector, in.gamma), beta(dtype, vector, in.beta);
    Buffer mean(dtype, vector, fused.mean), rstd(dtype, vector, fused.rstd);
    Buffer z(dtype, shape), y(dtype, shape), pool(dtype, pooled(shape));
    cpu::norm_act_forward(spec, x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(), {}, z.view(), {});
    cpu::relu_forward(z.view(), y.view());
    cpu::max_pool_forward({}, y.view(), pool.view());
    expect_same(fused.y, y.values());
    expect_same(fused.pooled, pool.values());

    Buffer dy(dtype, shape, in.dy), dpool(dtype, pooled(shape), in.dpooled);
    Buffer routed(dtype, shape), dz(dtype, shape), dx(dtype, shape), dgamma(dtype, vector), dbeta(dtype, vector);
    cpu::max_pool_backward({}, y.view(), dpool.view(), routed.view());
    cpu::add_to(dy.view(), routed.view());
    cpu::relu_backward(y.view(), routed.view(), dz.view());
    std::vector<double> scratch(cpu::norm_act_scratch(x.view()) / sizeof(double));
    cpu::norm_act_backward(spec, x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(), {}, dz.view(), {},
                           dx.view(), dgamma.view(), dbeta.view(), {}, scratch.data());
    EXPECT_LE(nmse(fused.dx, dx.values()), tolerance(dtype));
    EXPECT_LE(nmse(fused.dgamma, dgamma.values()), tolerance(dtype));
    EXPECT_LE(nmse(fused.dbeta, dbeta.values()), tolerance(dtype));
  }
}

}  // namespace
}  // namespace unet::kernels::test::norm_act_test
