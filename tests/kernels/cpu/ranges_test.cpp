// Gradient norm, running statistics and the normalisation of images.
#include "kernels/cpu/isa/grad_norm.h"
#include "kernels/grad_norm.h"
#include "kernels/normalize_images.h"
#include "kernels/running_stats.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::ranges_test {
namespace {

std::vector<double> random_values(std::size_t count) {
  std::mt19937 random(kSeed);
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(static_cast<float>(random() >> 8) * 0x1p-22f - 1.5f);
  return values;
}

long double squares(const std::vector<double>& values) {
  long double sum = 0;
  for (const double value : values) sum += static_cast<long double>(value) * value;
  return sum;
}

SquareSum square_sum(ConstView x) {
  std::vector<SquareSum> sums(static_cast<std::size_t>(cpu::square_sums(x)));
  cpu::sum_of_squares(x, sums.data());
  SquareSum out;
  for (const SquareSum& of_block : sums) {
    out.sum += of_block.sum;
    if (out.first_bad < 0) out.first_bad = of_block.first_bad;
  }
  return out;
}

TEST(GradNorm, SumOfSquaresOfAnyLength) {
  const std::size_t many = unet::tests::long_run() ? 100'000'000 : 10'000'000;
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{32}, std::size_t{33},
                                  std::size_t{16384}, std::size_t{16385}, many}) {
    const auto values = random_values(count);
    const auto expected = static_cast<double>(squares(values));
    Guarded<float> f32(values);
    EXPECT_NEAR(square_sum(f32.flat()).sum, expected, 1e-12 * expected) << count;
    Guarded<double> f64(values);
    EXPECT_NEAR(square_sum(f64.flat()).sum, expected, 1e-12 * expected) << count;
    EXPECT_EQ(square_sum(f32.flat()).first_bad, -1);
  }
}

TEST(GradNorm, EveryInstructionSetAgrees) {
  const auto values = random_values(1003);
  const auto expected = static_cast<double>(squares(values));
  Guarded<float> f32(values);
  for (const auto* table :
       runnable(cpu::baseline::grad_norm_loops, cpu::avx2::grad_norm_loops, cpu::avx512::grad_norm_loops)) {
    EXPECT_NEAR(table->of(float{}).sum_of_squares(f32.begin(), 1003), expected, 1e-12 * expected);
    EXPECT_NEAR(table->of(double{}).sum_of_squares(values.data(), 1003), expected, 1e-12 * expected);
  }
}

TEST(GradNorm, OneBadValueAnywhereIsSeen) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t place : {0u, 31u, 40'000u, 40'002u}) {
      Guarded<float> x(random_values(40'003));
      x.begin()[place] = bad;
      const SquareSum got = square_sum(x.flat());
      EXPECT_FALSE(std::isfinite(got.sum));
      EXPECT_EQ(got.first_bad, static_cast<std::int64_t>(place));
    }
  }
}

TEST(GradNorm, LargestFloatsDoNotOverflow) {
  Guarded<float> x(std::vector<float>(1000, std::numeric_limits<float>::max()));
  EXPECT_TRUE(std::isfinite(square_sum(x.flat()).sum));
}

TEST(GradNorm, SameBytesForAnyNumberOfThreads) {
  Guarded<float> x(random_values(300'001));
  expect_same_for_any_threads([&] {
    const double sum = square_sum(x.flat()).sum;
    std::vector<unsigned char> bytes;
    append_bytes(bytes, &sum, 1);
    return bytes;
  });
}

template <class T>
void check_running_stats(double tolerance) {
  for (const std::size_t count : {1u, 5u, 64u, 1027u}) {
    const auto batch = random_values(count);
    std::vector<double> running(count), expected;
    for (std::size_t i = 0; i < count; ++i) {
      running[i] = 0.5 * static_cast<double>(i % 9);
      expected.push_back(0.9 * running[i] + 0.1 * batch[i]);
    }
    Guarded<T> from(batch), to(running);
    StepControl control;
    control.verdict = StepVerdict::bad_loss;
    cpu::update_running_stats(0.1, &control, from.flat(), to.flat());
    EXPECT_EQ(to.values(), std::vector<T>(running.begin(), running.end())) << "a step that is not committed";
    control.verdict = StepVerdict::commit;
    cpu::update_running_stats(0.1, &control, from.flat(), to.flat());
    EXPECT_LE(nmse(to.values(), expected), tolerance);
    EXPECT_TRUE(to.intact() && from.intact());
  }
}

TEST(Ranges, AreCutAnywhere) {
  std::vector<float> front{0, 1, 2}, back{3, 4, 5, 6};
  const auto view = [](std::vector<float>& values) {
    View out;
    out.dims = {1, 1, 1, out.pitch = static_cast<std::int64_t>(values.size())};
    out.data = values.data();
    return out;
  };
  const Ranges whole(ConstView(view(front)), ConstView(view(back)));
  for (std::int64_t begin = 0; begin <= 7; ++begin) {
    for (std::int64_t end = begin; end <= 7; ++end) {
      const Ranges part = whole.slice(begin, end);
      ASSERT_EQ(part.size(), end - begin);
      std::vector<float> values;
      for (const ConstView& one : {part.first, part.second}) {
        for (std::int64_t i = 0; i < one.size(); ++i) values.push_back(one.as<float>()[i]);
      }
      for (std::int64_t i = begin; i < end; ++i) {
        EXPECT_EQ(values[static_cast<std::size_t>(i - begin)], static_cast<float>(i));
      }
      EXPECT_EQ(part.first.size(), std::max<std::int64_t>(0, std::min<std::int64_t>(3, end) - begin));
    }
  }
}

TEST(RunningStats, EqualsTheFormula) {
  check_running_stats<float>(1e-14);
  check_running_stats<double>(1e-30);
}

template <class T>
void check_normalize(std::int64_t Cin, std::int64_t C, double ulp) {
  const std::int64_t N = 2, H = 53, W = 47;
  NormalizeSpec spec;
  for (std::int64_t c = 0; c < Cin; ++c) {
    spec.mean.push_back(0.4f + 0.03f * static_cast<float>(c));
    spec.deviation.push_back(0.2f + 0.01f * static_cast<float>(c));
  }
  std::mt19937 random(kSeed);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(N * H * W * Cin));
  for (auto& value : pixels) value = static_cast<std::uint8_t>(random() >> 24);
  Guarded<std::uint8_t> images(pixels);
  Guarded<T> y(static_cast<std::size_t>(N * H * W * C));
  cpu::normalize_images(spec, images.view({N, H, W, Cin}), y.view({N, H, W, C}));
  EXPECT_TRUE(y.intact());
  const auto result = y.values();
  for (std::int64_t i = 0; i < N * H * W; ++i) {
    for (std::int64_t c = 0; c < C; ++c) {
      const auto value = static_cast<double>(result[static_cast<std::size_t>(i * C + c)]);
      if (c >= Cin) {
        ASSERT_EQ(value, 0);
        continue;
      }
      const auto k = static_cast<std::size_t>(c);
      const double expected =
          (pixels[static_cast<std::size_t>(i * Cin + c)] / 255.0 - static_cast<double>(spec.mean[k])) /
          static_cast<double>(spec.deviation[k]);
      ASSERT_NEAR(value, expected, ulp * std::fabs(expected)) << i << " " << c;
    }
  }
}

TEST(NormalizeImages, EqualsTheFormulaAndPadsWithZeros) {
  for (const auto& [Cin, C] : {std::pair(3, 3), std::pair(3, 4), std::pair(1, 1), std::pair(3, 8), std::pair(5, 5)}) {
    check_normalize<float>(Cin, C, 6e-8);
    check_normalize<double>(Cin, C, 0);
  }
}

}  // namespace
}  // namespace unet::kernels::test::ranges_test
