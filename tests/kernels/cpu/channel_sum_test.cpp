#include "kernels/channel_sum.h"

#include <gtest/gtest.h>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/channel_sum.h"
#include "kernels/cpu/parallel.h"
#include "tests/kernels/cpu/conv_reference.h"
#include "tests/support/long_run.h"

namespace unet::kernels::channel_sum_test {
namespace {

using test::Buffer;
using test::Values;

struct Case {
  std::int64_t N, H, W, C, extra;
};

const Case kCases[] = {{1, 1, 1, 1, 0},    {1, 1, 1, 17, 3},    {2, 3, 5, 3, 0},    {1, 64, 64, 5, 11},
                       {2, 50, 41, 64, 0}, {1, 33, 70, 130, 6}, {3, 127, 9, 2, 30}, {1, 1, 3, 64, 64}};

Values run(const Case& t, Dtype dtype, const Values& values) {
  const Buffer x(dtype, {t.N, t.H, t.W, t.C}, values, t.extra), out(test::compute_dtype(dtype), {1, 1, 1, t.C});
  test::Workspace scratch(cpu::channel_sum_scratch(x.view()));
  cpu::channel_sum(x.view(), out.view(), scratch.data());
  EXPECT_TRUE(out.intact() && scratch.intact());
  return out.values();
}

TEST(ChannelSum, EqualsReferenceDenseAndPitched) {
  for (const Case& t : kCases) {
    const std::int64_t size = t.N * t.H * t.W * t.C;
    const Values x = Buffer(Dtype::bf16, {1, 1, 1, size}, test::random_values(size, 7)).values();
    Values expected(static_cast<std::size_t>(t.C));
    for (std::size_t i = 0; i < x.size(); ++i) expected[i % expected.size()] += x[i];
    for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
      EXPECT_LE(test::nmse(run(t, dtype, x), expected), dtype == Dtype::f64 ? 1e-26 : 1e-14)
          << name_of(dtype) << " [" << t.N << "," << t.H << "," << t.W << "," << t.C << "] pitch " << t.C + t.extra;
    }
  }
}

// 0.1 is not a binary fraction; a running sum in f32 would be wrong in the third digit here.
TEST(ChannelSum, ManyEqualValuesKeepTheirSum) {
  const std::int64_t side = unet::tests::long_run() ? 10'000 : 4096;
  const float value = 0.1f;
  const Values expected{double(value) * double(side) * double(side)};
  std::vector<float> x(static_cast<std::size_t>(side * side), value);
  ConstView view;
  view.dims = {1, side, side, 1};
  view.pitch = 1;
  view.data = x.data();
  const Buffer out(Dtype::f32, {1, 1, 1, 1});
  test::Workspace scratch(cpu::channel_sum_scratch(view));
  cpu::channel_sum(view, out.view(), scratch.data());
  EXPECT_NEAR(out.values()[0] / expected[0], 1.0, 1e-6);
}

TEST(ChannelSum, SameBytesForAnyNumberOfThreads) {
  const int before = cpu::threads();
  const Case t{2, 150, 90, 37, 3};
  Values x = test::random_values(t.N * t.H * t.W * t.C, 7);
  // Sums of floats are exact in f64, and in f32 the last rounding hides another order of the additions: use thirds.
  for (double& value : x) value /= 3;
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    std::vector<Values> results;
    for (const int threads : {1, 2, 3}) {
      cpu::set_threads(threads);
      results.push_back(run(t, dtype, x));
    }
    cpu::set_threads(before);
    EXPECT_EQ(results[1], results[0]);
    EXPECT_EQ(results[2], results[0]);
  }
}

TEST(ChannelSum, NanReachesItsOwnChannelOnly) {
  const Case t{1, 40, 41, 5, 0};
  Values x = test::random_values(t.N * t.H * t.W * t.C, 7);
  x[5 * 1000 + 2] = std::numeric_limits<double>::quiet_NaN();
  const Values sums = run(t, Dtype::f32, x);
  for (std::size_t c = 0; c < sums.size(); ++c) EXPECT_EQ(std::isnan(sums[c]), c == 2) << c;
}

TEST(ChannelSum, InstructionSetsAgree) {
  const Values values = test::random_values(999 * 37, 7);
  const std::vector<float> x(values.begin(), values.end());
  std::vector<Values> results;
  for (const cpu::Isa isa : {cpu::Isa::baseline, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (isa > cpu::isa()) continue;
    const auto& loops = isa == cpu::Isa::baseline ? cpu::baseline::channel_sum_loops
                        : isa == cpu::Isa::avx2   ? cpu::avx2::channel_sum_loops
                                                  : cpu::avx512::channel_sum_loops;
    results.emplace_back(37);
    loops.of(float{}).sum(x.data(), 999, 37, 37, results.back().data());
  }
  for (const Values& result : results) EXPECT_EQ(result, results[0]);
}

}  // namespace
}  // namespace unet::kernels::channel_sum_test
