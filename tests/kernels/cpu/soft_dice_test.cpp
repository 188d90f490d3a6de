#include "kernels/soft_dice.h"

#include "kernels/cpu/isa/soft_dice.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::soft_dice_test {
namespace {

struct Result {
  double loss = 0;
  std::int64_t invalid = 0;
  std::vector<double> sums;
  std::vector<double> gradient;
};

/// scale 0: backward is left out.
template <class T>
Result run(const SoftDiceSpec& spec, const Batch& batch, double scale) {
  Guarded<T> logits(batch.logits), gradient(batch.logits.size());
  Guarded<std::uint8_t> labels(batch.labels);
  const View x = logits.view(batch.dims), y = labels.view(batch.label_dims());
  const auto groups = static_cast<std::size_t>(spec.batch ? 1 : batch.dims[0]);
  Guarded<double> sums(groups * batch.classes() * 3), scratch(cpu::soft_dice_scratch(x) / sizeof(double));
  Result result;
  SoftDiceResult outcome;
  cpu::soft_dice_forward(spec, x, y, sums.begin(), &outcome, scratch.begin());
  result.loss = outcome.loss;
  result.invalid = outcome.invalid;
  result.sums = sums.values();
  if (scale != 0) {
    cpu::soft_dice_backward(spec, x, y, sums.begin(), &scale, gradient.view(batch.dims));
    const std::vector<T> values = gradient.values();
    result.gradient.assign(values.begin(), values.end());
  }
  EXPECT_TRUE(logits.intact() && gradient.intact() && labels.intact() && sums.intact() && scratch.intact());
  return result;
}

double naive(const SoftDiceSpec& spec, const Batch& batch) {
  const std::size_t C = batch.classes(), N = static_cast<std::size_t>(batch.dims[0]), per_image = batch.pixels() / N;
  const std::size_t groups = spec.batch ? 1 : N, first = spec.background || C == 1 ? 0 : 1;
  std::vector<long double> both(groups * C), p_sum(groups * C), t_sum(groups * C);
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    if (batch.labels[i] == spec.ignore_index || batch.labels[i] >= C) continue;
    const std::size_t g = spec.batch ? 0 : i / per_image;
    double largest = batch.logits[i * C], sum = 0;
    for (std::size_t c = 0; c < C; ++c) largest = std::max(largest, batch.logits[i * C + c]);
    for (std::size_t c = 0; c < C; ++c) sum += std::exp(batch.logits[i * C + c] - largest);
    for (std::size_t c = 0; c < C; ++c) {
      const double p = std::exp(batch.logits[i * C + c] - largest) / sum, t = batch.labels[i] == c ? 1 : 0;
      both[g * C + c] += p * t, p_sum[g * C + c] += p, t_sum[g * C + c] += t;
    }
  }
  long double total = 0;
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t c = first; c < C; ++c) {
      const std::size_t k = g * C + c;
      const long double denominator = p_sum[k] + t_sum[k] + static_cast<long double>(spec.smooth);
      total += denominator == 0 ? 1 : (2 * both[k] + static_cast<long double>(spec.smooth)) / denominator;
    }
  }
  return static_cast<double>(1 - total / static_cast<long double>(groups * (C - first)));
}

std::vector<SoftDiceSpec> specs() {
  return {{}, {.smooth = 0}, {.batch = true}, {.background = true}, {.smooth = 0.5, .batch = true, .background = true}};
}

TEST(SoftDice, ParityWithRecordedPyTorchValues) {
  ASSERT_EQ(torch_values()["soft_dice"].size(), 8u);
  for (const auto& record : torch_values()["soft_dice"]) {
    SCOPED_TRACE(record["shape"].dump());
    const SoftDiceSpec spec{.smooth = record["smooth"], .batch = record["batch"], .background = record["background"]};
    const Batch batch = recorded_batch(record);
    const auto gradient = record["gradient"].get<std::vector<double>>();
    const double loss = record["loss"];
    const Result f64 = run<double>(spec, batch, 1), f32 = run<float>(spec, batch, 1);
    EXPECT_NEAR(f64.loss, loss, 1e-13);
    EXPECT_NEAR(f32.loss, loss, 1e-7);
    EXPECT_LE(nmse(f64.gradient, gradient), 1e-22);
    EXPECT_LE(nmse(f32.gradient, gradient), 1e-11);
  }
}

TEST(SoftDice, EqualsTheFormula) {
  for (const auto& dims : batch_shapes()) {
    for (const SoftDiceSpec& spec : specs()) {
      SCOPED_TRACE(testing::PrintToString(dims));
      const Batch batch = random_batch(dims);
      const double expected = naive(spec, batch);
      const Result f64 = run<double>(spec, batch, 1000), f32 = run<float>(spec, batch, 1000);
      EXPECT_NEAR(f64.loss, expected, 1e-13);
      EXPECT_NEAR(f32.loss, expected, 1e-6);
      EXPECT_LE(nmse(f32.gradient, f64.gradient), 1e-11);
    }
  }
}

TEST(SoftDice, EveryInstructionSetAgrees) {
  const auto tables =
      runnable(cpu::baseline::soft_dice_loops, cpu::avx2::soft_dice_loops, cpu::avx512::soft_dice_loops);
  for (const auto& dims : batch_shapes()) {
    SCOPED_TRACE(testing::PrintToString(dims));
    const Batch batch = random_batch(dims);
    const auto pixels = static_cast<std::int64_t>(batch.pixels());
    const int C = static_cast<int>(dims[3]);
    std::vector<double> slope, offset;
    for (int c = 0; c < C; ++c) slope.push_back(0.5 + c % 3), offset.push_back(-0.25 - c % 5);
    const auto with = [&](const auto& loops, auto zero) {
      Guarded<decltype(zero)> logits(batch.logits), gradient(batch.logits.size());
      Guarded<double> sums(static_cast<std::size_t>(3 * C));
      loops.forward(logits.begin(), batch.labels.data(), pixels, C, 255, sums.begin());
      loops.backward(logits.begin(), batch.labels.data(), pixels, C, 255, slope.data(), offset.data(),
                     gradient.begin());
      EXPECT_TRUE(gradient.intact() && sums.intact());
      return std::pair(sums.values(), gradient.values());
    };
    const auto [sums, gradient] = with(tables[0]->of(double{}), double{});
    for (const auto* table : tables) {
      const auto [sums_f32, gradient_f32] = with(table->of(float{}), float{});
      EXPECT_LE(nmse(sums_f32, sums), 1e-12);
      EXPECT_LE(nmse(gradient_f32, gradient), 1e-11);
    }
  }
}

TEST(SoftDice, GradCheckByCentralDifferences) {
  for (const auto& dims : batch_shapes()) {
    if (dims[1] * dims[2] * dims[3] > 10'000) continue;  // thousands of forward passes
    for (const SoftDiceSpec& spec : specs()) {
      SCOPED_TRACE(testing::PrintToString(dims));
      const Batch batch = random_batch(dims, 2);
      const double scale = static_cast<double>(batch.pixels());
      const Result result = run<double>(spec, batch, scale);
      check_gradient(
          [&](const std::vector<double>& x) {
            return scale * run<double>(spec, {batch.dims, x, batch.labels}, 0).loss;
          },
          batch.logits, result.gradient);
    }
  }
}

TEST(SoftDice, AllPixelsIgnored) {
  Batch batch = random_batch({2, 5, 13, 2});
  std::fill(batch.labels.begin(), batch.labels.begin() + 65, std::uint8_t{255});  // the first image
  for (const double smooth : {1.0, 0.0}) {
    const Result one = run<float>({.smooth = smooth}, batch, 1);
    const Batch second{{1, 5, 13, 2},
                       {batch.logits.begin() + 130, batch.logits.end()},
                       {batch.labels.begin() + 65, batch.labels.end()}};
    EXPECT_NEAR(one.loss, run<float>({.smooth = smooth}, second, 1).loss / 2, 1e-12);
    for (std::size_t i = 0; i < 130; ++i) EXPECT_EQ(one.gradient[i], 0);

    Batch none = batch;
    std::fill(none.labels.begin(), none.labels.end(), std::uint8_t{255});
    for (const bool whole_batch : {false, true}) {
      const Result nothing = run<float>({.smooth = smooth, .batch = whole_batch}, none, 1);
      EXPECT_EQ(nothing.loss, 0);
      EXPECT_EQ(nothing.gradient, std::vector<double>(none.logits.size(), 0));
    }
  }
}

TEST(SoftDice, AbsentClassWithoutPredictionScoresOne) {
  Batch batch = random_batch({1, 5, 13, 3}, 1, false);
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    batch.labels[i] = static_cast<std::uint8_t>(i % 2);
    batch.logits[3 * i + 2] = -1e4;  // e^-1e4 is 0: class 2 is neither there nor predicted
  }
  const Result with = run<double>({}, batch, 1);
  EXPECT_EQ(with.sums[7], 0);
  EXPECT_EQ(with.sums[8], 0);
  Batch two{{1, 5, 13, 2}, {}, batch.labels};
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    two.logits.push_back(batch.logits[3 * i]);
    two.logits.push_back(batch.logits[3 * i + 1]);
  }
  EXPECT_NEAR(with.loss, run<double>({}, two, 1).loss / 2, 1e-12);
  const Result unsmoothed = run<double>({.smooth = 0}, batch, 1);
  EXPECT_NEAR(unsmoothed.loss, run<double>({.smooth = 0}, two, 1).loss / 2, 1e-12);
  for (std::size_t i = 0; i < batch.pixels(); ++i) EXPECT_EQ(unsmoothed.gradient[3 * i + 2], 0);
}

TEST(SoftDice, SaturatedRightAnswerHasNoLossAndNoGradient) {
  Batch batch = random_batch({2, 7, 9, 2}, 1, false);
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    for (std::size_t c = 0; c < 2; ++c) batch.logits[2 * i + c] = batch.labels[i] == c ? 200 : -200;
  }
  const Result result = run<float>({}, batch, 1);
  EXPECT_EQ(result.loss, 0);
  EXPECT_EQ(result.gradient, std::vector<double>(batch.logits.size(), 0));
}

TEST(SoftDice, NanLogitGivesNanLossUnlessIgnored) {
  for (const std::int64_t C : {1, 2, 3}) {
    for (std::int64_t c = 0; c < C; ++c) {
      Batch batch = random_batch({1, 9, 15, C}, 3, false);
      const auto nan_loss = [&] {
        Guarded<float> x(batch.logits);
        Guarded<std::uint8_t> labels(batch.labels);
        x.begin()[71 * C + c] = std::numeric_limits<float>::quiet_NaN();
        std::vector<double> sums(static_cast<std::size_t>(3 * C)), scratch(sums.size() * 16);
        SoftDiceResult result;
        cpu::soft_dice_forward({}, x.view(batch.dims), labels.view(batch.label_dims()), sums.data(), &result,
                               scratch.data());
        return result.loss;
      };
      EXPECT_TRUE(std::isnan(nan_loss())) << C << " classes, class " << c;
      batch.labels[71] = 255;
      EXPECT_TRUE(std::isfinite(nan_loss()));
    }
  }
}

TEST(SoftDice, SumsOfManyPixelsAreExactToOneInAMillion) {
  const std::int64_t count = unet::tests::long_run() ? 50'000'000 : 10'000'000;  // two values each
  std::vector<float> logits(static_cast<std::size_t>(2 * count));
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(count));
  std::mt19937 random(kSeed);
  long double both = 0, predicted = 0, truth = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    logits[2 * i] = static_cast<float>(random() >> 8) * 0x1p-21f - 4;
    logits[2 * i + 1] = static_cast<float>(random() >> 8) * 0x1p-21f - 4;
    labels[i] = static_cast<std::uint8_t>(random() & 1);
    const double p = 1 / (1 + std::exp(static_cast<double>(logits[2 * i]) - static_cast<double>(logits[2 * i + 1])));
    both += p * labels[i], predicted += p, truth += labels[i];
  }
  View x, y;
  x.dims = {1, 1, count, 2}, x.pitch = 2, x.data = logits.data();
  y.dtype = Dtype::u8, y.dims = {1, 1, count, 1}, y.pitch = 1, y.data = labels.data();
  std::vector<double> sums(6), scratch(cpu::soft_dice_scratch(x) / sizeof(double));
  SoftDiceResult result;
  cpu::soft_dice_forward({}, x, y, sums.data(), &result, scratch.data());
  const double error = std::max(std::fabs(sums[3] / static_cast<double>(both) - 1),
                                std::fabs(sums[4] / static_cast<double>(predicted) - 1));
  EXPECT_LE(error, 1e-6);
  RecordProperty("relative_error", fmt::format("{:.1e}", error));
  EXPECT_EQ(sums[5], static_cast<double>(truth));
}

TEST(SoftDice, SameBytesForAnyNumberOfThreads) {
  for (const std::int64_t C : {2, 12}) {
    const Batch batch = random_batch({2, 97, 83, C});
    expect_same_for_any_threads([&] {
      std::vector<unsigned char> bytes;
      for (const Result& result : {run<float>({}, batch, 1), run<double>({}, batch, 1)}) {
        append_bytes(bytes, &result.loss, 1);
        append_bytes(bytes, result.sums.data(), result.sums.size());
        append_bytes(bytes, result.gradient.data(), result.gradient.size());
      }
      return bytes;
    });
  }
}

}  // namespace
}  // namespace unet::kernels::test::soft_dice_test
