#include "kernels/cross_entropy.h"

#include "kernels/cpu/isa/cross_entropy.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::cross_entropy_test {
namespace {

struct Result {
  CrossEntropySums sums;
  std::vector<double> gradient;
  double loss() const { return sums.weight == 0 ? 0 : sums.loss / sums.weight; }
};

/// scale 0: backward is left out.
template <class T>
Result run(const Batch& batch, const std::vector<double>& weights, double scale, CrossEntropySpec spec = {}) {
  Guarded<T> logits(batch.logits), gradient(batch.logits.size()), class_weights(weights);
  Guarded<std::uint8_t> labels(batch.labels);
  const View x = logits.view(batch.dims), y = labels.view(batch.label_dims());
  const View w = weights.empty() ? View{} : class_weights.flat();
  std::vector<std::uint64_t> scratch(cpu::cross_entropy_scratch(x) / 8 + 1);
  Result result;
  cpu::cross_entropy_forward(spec, x, y, w, &result.sums, scratch.data());
  if (scale != 0) {
    cpu::cross_entropy_backward(spec, x, y, w, &result.sums, &scale, gradient.view(batch.dims));
    const std::vector<T> values = gradient.values();
    result.gradient.assign(values.begin(), values.end());
  }
  EXPECT_TRUE(logits.intact() && gradient.intact() && labels.intact() && class_weights.intact());
  EXPECT_EQ(logits.values(), std::vector<T>(batch.logits.begin(), batch.logits.end()));
  return result;
}

/// The formula, word by word.
Result naive(const Batch& batch, const std::vector<double>& weights, double scale, int ignore_index = 255) {
  const std::size_t C = batch.classes();
  Result result;
  long double loss = 0, weight = 0;
  std::vector<double> log_sum(batch.pixels());
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    const double* x = &batch.logits[i * C];
    const int label = batch.labels[i];
    double largest = x[0], sum = 0;
    for (std::size_t c = 1; c < C; ++c) largest = std::max(largest, x[c]);
    for (std::size_t c = 0; c < C; ++c) sum += std::exp(x[c] - largest);
    log_sum[i] = largest + std::log(sum);
    if (label == ignore_index) continue;
    if (label >= static_cast<int>(C)) {
      ++result.sums.invalid;
      continue;
    }
    const double w = weights.empty() ? 1 : weights[static_cast<std::size_t>(label)];
    loss += w * (log_sum[i] - x[label]);
    weight += w;
  }
  result.sums.loss = static_cast<double>(loss);
  result.sums.weight = static_cast<double>(weight);
  result.gradient.assign(batch.logits.size(), 0);
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    const int label = batch.labels[i];
    if (label == ignore_index || label >= static_cast<int>(C)) continue;
    const double w = weights.empty() ? 1 : weights[static_cast<std::size_t>(label)];
    for (std::size_t c = 0; c < C; ++c) {
      const double p = std::exp(batch.logits[i * C + c] - log_sum[i]);
      result.gradient[i * C + c] = scale * w / result.sums.weight * (p - (static_cast<int>(c) == label ? 1 : 0));
    }
  }
  return result;
}

std::vector<double> some_weights(std::size_t C) {
  std::vector<double> weights;
  for (std::size_t c = 0; c < C; ++c) weights.push_back(0.25 + 0.125 * static_cast<double>(c % 7));
  return weights;
}

TEST(CrossEntropy, ParityWithRecordedPyTorchValues) {
  ASSERT_EQ(torch_values()["cross_entropy"].size(), 7u);
  for (const auto& record : torch_values()["cross_entropy"]) {
    const Batch batch = recorded_batch(record);
    const auto weights = record["weights"].get<std::vector<double>>();
    const auto gradient = record["gradient"].get<std::vector<double>>();
    const double loss = record["loss"];
    SCOPED_TRACE(record["shape"].dump());
    const Result f64 = run<double>(batch, weights, 1), f32 = run<float>(batch, weights, 1);
    EXPECT_NEAR(f64.loss(), loss, 1e-12 * loss);
    EXPECT_NEAR(f32.loss(), loss, 1e-6 * loss);
    EXPECT_LE(nmse(f64.gradient, gradient), 1e-22);
    EXPECT_LE(nmse(f32.gradient, gradient), 1e-12);
  }
}

TEST(CrossEntropy, EqualsTheFormula) {
  for (const auto& dims : batch_shapes()) {
    const Batch batch = random_batch(dims);
    for (const auto& weights : {std::vector<double>{}, some_weights(batch.classes())}) {
      SCOPED_TRACE(testing::PrintToString(dims));
      const double scale = static_cast<double>(batch.pixels());
      const Result expected = naive(batch, weights, scale), f64 = run<double>(batch, weights, scale),
                   f32 = run<float>(batch, weights, scale);
      EXPECT_NEAR(f64.sums.loss, expected.sums.loss, 1e-13 * std::fabs(expected.sums.loss) + 1e-15);
      EXPECT_NEAR(f32.sums.loss, expected.sums.loss, 1e-6 * std::fabs(expected.sums.loss) + 1e-15);
      EXPECT_EQ(f64.sums.weight, expected.sums.weight);
      EXPECT_EQ(f32.sums.weight, expected.sums.weight);
      EXPECT_LE(nmse(f64.gradient, expected.gradient), 1e-26);
      EXPECT_LE(nmse(f32.gradient, expected.gradient), 1e-12);
    }
  }
}

TEST(CrossEntropy, EveryInstructionSetEqualsTheFormula) {
  for (const auto* table :
       runnable(cpu::baseline::cross_entropy_loops, cpu::avx2::cross_entropy_loops, cpu::avx512::cross_entropy_loops)) {
    for (const auto& dims : batch_shapes()) {
      SCOPED_TRACE(testing::PrintToString(dims));
      const Batch batch = random_batch(dims);
      const Result expected = naive(batch, {}, 1);
      Guarded<float> logits(batch.logits), gradient(batch.logits.size());
      const auto pixels = static_cast<std::int64_t>(batch.pixels());
      const int C = static_cast<int>(dims[3]);
      const CrossEntropySums sums =
          table->of(float{}).forward(logits.begin(), batch.labels.data(), nullptr, pixels, C, 255);
      EXPECT_NEAR(sums.loss, expected.sums.loss, 1e-6 * std::fabs(expected.sums.loss) + 1e-15);
      table->of(float{}).backward(logits.begin(), batch.labels.data(), nullptr, pixels, C, 255,
                                  1 / expected.sums.weight, gradient.begin());
      EXPECT_LE(nmse(gradient.values(), expected.gradient), 1e-12);
      EXPECT_TRUE(gradient.intact());
    }
  }
}

TEST(CrossEntropy, GradCheckByCentralDifferences) {
  for (const auto& dims : batch_shapes()) {
    if (dims[1] * dims[2] * dims[3] > 10'000) continue;  // thousands of forward passes
    SCOPED_TRACE(testing::PrintToString(dims));
    Batch batch = random_batch(dims, 2);
    batch.labels[0] = 0;  // something counts even in the smallest shape
    const auto weights = some_weights(batch.classes());
    const double scale = static_cast<double>(batch.pixels());
    const Result result = run<double>(batch, weights, scale);
    check_gradient(
        [&](const std::vector<double>& x) {
          return scale * run<double>({batch.dims, x, batch.labels}, weights, 0).loss();
        },
        batch.logits, result.gradient);
  }
}

TEST(CrossEntropy, NothingCountedGivesZeroLossAndZeroGradient) {
  Batch batch = random_batch({2, 5, 7, 3});
  std::fill(batch.labels.begin(), batch.labels.end(), std::uint8_t{255});
  for (const std::vector<double>& weights : {std::vector<double>{}, std::vector<double>{0, 0, 0}}) {
    const Result result = run<float>(batch, weights, 1);
    EXPECT_EQ(result.sums.loss, 0);
    EXPECT_EQ(result.sums.weight, 0);
    EXPECT_EQ(result.gradient, std::vector<double>(batch.logits.size(), 0));
    std::fill(batch.labels.begin(), batch.labels.end(), std::uint8_t{1});  // second round: counted, with weight 0
  }
}

TEST(CrossEntropy, LabelsOutsideTheClassesAreCountedAndIgnored) {
  for (const std::int64_t C : {1, 2, 3}) {
    Batch batch = random_batch({1, 9, 15, C}, 3, false);
    const CrossEntropySums clean = run<float>(batch, {}, 0).sums;
    EXPECT_EQ(clean.invalid, 0);
    batch.labels[3] = static_cast<std::uint8_t>(C);
    batch.labels[70] = 254;
    batch.labels[134] = 255;
    const Result result = run<float>(batch, {}, 1), expected = naive(batch, {}, 1);
    EXPECT_EQ(result.sums.invalid, 2);
    EXPECT_EQ(result.sums.weight, clean.weight - 3);
    EXPECT_NEAR(result.sums.loss, expected.sums.loss, 1e-6 * expected.sums.loss);
    for (const std::size_t pixel : {3, 70, 134}) {
      for (std::size_t c = 0; c < batch.classes(); ++c) EXPECT_EQ(result.gradient[pixel * batch.classes() + c], 0);
    }
  }
}

TEST(CrossEntropy, IgnoreIndexMayBeAClass) {
  const Batch batch = random_batch({1, 9, 15, 2}, 3, false);
  const Result result = run<float>(batch, {}, 1, {.ignore_index = 0}), expected = naive(batch, {}, 1, 0);
  EXPECT_NEAR(result.sums.loss, expected.sums.loss, 1e-6 * expected.sums.loss);
  EXPECT_EQ(result.sums.weight, expected.sums.weight);
  EXPECT_EQ(result.sums.invalid, 0);
}

TEST(CrossEntropy, NanLogitGivesNanLossUnlessIgnored) {
  for (const std::int64_t C : {1, 2, 3}) {
    for (std::int64_t c = 0; c < C; ++c) {
      Batch batch = random_batch({1, 9, 15, C}, 3, false);
      const auto place = static_cast<std::size_t>(71 * C + c);
      const auto nan_loss = [&]<class T>(T) {
        Guarded<T> x(batch.logits);
        Guarded<std::uint8_t> labels(batch.labels);
        x.begin()[place] = std::numeric_limits<T>::quiet_NaN();
        std::vector<CrossEntropySums> scratch(8);
        CrossEntropySums sums;
        cpu::cross_entropy_forward({}, x.view(batch.dims), labels.view(batch.label_dims()), {}, &sums, scratch.data());
        return sums.loss;
      };
      EXPECT_TRUE(std::isnan(nan_loss(float{}))) << C << " classes, class " << c;
      EXPECT_TRUE(std::isnan(nan_loss(double{}))) << C << " classes, class " << c;
      batch.labels[71] = 255;
      EXPECT_TRUE(std::isfinite(nan_loss(float{})));
      EXPECT_TRUE(std::isfinite(nan_loss(double{})));
    }
  }
}

TEST(CrossEntropy, ExtremeLogitsStayFinite) {
  for (const std::int64_t C : {2, 3}) {
    Batch batch = random_batch({1, 1, 3, C}, 0, false);
    std::fill(batch.logits.begin(), batch.logits.end(), 0.0);
    batch.labels = {0, 1, 0};
    const auto at = [&](std::size_t pixel, std::size_t c) -> double& {
      return batch.logits[pixel * static_cast<std::size_t>(C) + c];
    };
    at(0, 0) = 1e30, at(1, 0) = 3e4, at(2, 1) = -3e38;
    const Result result = run<float>(batch, {}, 1);
    EXPECT_NEAR(result.sums.loss, 3e4 + (C == 3 ? std::log(2.0) : 0), 0.01);
    for (const double g : result.gradient) EXPECT_TRUE(std::isfinite(g));
  }
}

/// log(1 + e^-z) is e^-z for large z: exp and log1p of f32 within 4 units in the last place down to the smallest
/// normal.
TEST(CrossEntropy, SmallLossesKeepTheirDigits) {
  for (double z = 0; z < 87; z += 0.37) {
    const auto exact = static_cast<double>(static_cast<float>(z));
    const Batch batch{{1, 1, 1, 2}, {exact, 0}, {0}};
    const double expected = std::log1p(std::exp(-exact));
    EXPECT_NEAR(run<float>(batch, {}, 0).sums.loss, expected, 4 * 6e-8 * expected) << z;
  }
}

TEST(CrossEntropy, SumOfManyPixelsIsExactToOneInAMillion) {
  const std::int64_t count = unet::tests::long_run() ? 50'000'000 : 10'000'000;  // two values each
  std::vector<float> logits(static_cast<std::size_t>(2 * count));
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(count));
  std::mt19937 random(kSeed);
  long double expected = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    logits[2 * i] = static_cast<float>(random() >> 8) * 0x1p-21f - 4;
    logits[2 * i + 1] = static_cast<float>(random() >> 8) * 0x1p-21f - 4;
    labels[i] = static_cast<std::uint8_t>(random() & 1);
    const double z =
        static_cast<double>(logits[2 * i + 1 - labels[i]]) - static_cast<double>(logits[2 * i + labels[i]]);
    expected += std::max(z, 0.0) + std::log1p(std::exp(-std::fabs(z)));
  }
  View x, y;
  x.dims = {1, 1, count, 2}, x.pitch = 2, x.data = logits.data();
  y.dtype = Dtype::u8, y.dims = {1, 1, count, 1}, y.pitch = 1, y.data = labels.data();
  std::vector<std::uint64_t> scratch(cpu::cross_entropy_scratch(x) / 8 + 1);
  CrossEntropySums sums;
  cpu::cross_entropy_forward({}, x, y, {}, &sums, scratch.data());
  const double error = std::fabs(sums.loss / static_cast<double>(expected) - 1);
  EXPECT_LE(error, 1e-6);
  RecordProperty("relative_error", fmt::format("{:.1e}", error));
  EXPECT_EQ(sums.weight, static_cast<double>(count));
}

TEST(CrossEntropy, SameBytesForAnyNumberOfThreads) {
  for (const std::int64_t C : {2, 12}) {
    const Batch batch = random_batch({2, 97, 83, C});
    expect_same_for_any_threads([&] {
      std::vector<unsigned char> bytes;
      for (const Result& result : {run<float>(batch, {}, 1), run<double>(batch, {}, 1)}) {
        append_bytes(bytes, &result.sums, 1);
        append_bytes(bytes, result.gradient.data(), result.gradient.size());
      }
      return bytes;
    });
  }
}

}  // namespace
}  // namespace unet::kernels::test::cross_entropy_test
