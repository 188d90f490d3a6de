#include "kernels/loss_sum.h"

#include "kernels/cpu/isa/loss_sum.h"
#include "kernels/cross_entropy.h"
#include "kernels/soft_dice.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::loss_sum_test {
namespace {

struct Result {
  LossSumResult result;
  std::vector<double> gradient;
};

/// scale 0: backward is left out.
template <class T>
Result run(const LossSumSpec& spec, const Batch& batch, const std::vector<double>& weights, double scale) {
  Guarded<T> logits(batch.logits), gradient(batch.logits.size()), class_weights(weights);
  Guarded<std::uint8_t> labels(batch.labels);
  const View x = logits.view(batch.dims), y = labels.view(batch.label_dims());
  const View w = weights.empty() ? View{} : class_weights.flat();
  std::vector<std::uint64_t> scratch(cpu::loss_sum_scratch(x) / 8, ~std::uint64_t{0});
  std::vector<double> sums(static_cast<std::size_t>(batch.dims[0] + 1) * batch.classes() * 3, NAN);
  Result out;
  cpu::loss_sum_forward(spec, x, y, w, sums.data(), &out.result, scratch.data());
  if (scale != 0) {
    cpu::loss_sum_backward(spec, x, y, w, sums.data(), &out.result, &scale, gradient.view(batch.dims));
    const std::vector<T> values = gradient.values();
    out.gradient.assign(values.begin(), values.end());
  }
  EXPECT_TRUE(logits.intact() && gradient.intact() && labels.intact() && class_weights.intact());
  return out;
}

/// The mean over pixels of cross-entropy and focal loss, word by word.
double naive_pixels(const LossSumSpec& spec, const Batch& batch, const std::vector<double>& weights) {
  const std::size_t C = batch.classes();
  const auto weight = [&](std::size_t c) { return weights.empty() ? 1 : weights[c]; };
  long double loss = 0, total = 0;
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    const std::size_t label = batch.labels[i];
    if (label == 255 || label >= C) continue;
    long double sum = 0, smoothed = 0;
    for (std::size_t c = 0; c < C; ++c) sum += std::exp(static_cast<long double>(batch.logits[i * C + c]));
    const auto nll = [&](std::size_t c) { return std::log(sum) - static_cast<long double>(batch.logits[i * C + c]); };
    for (std::size_t c = 0; c < C; ++c) smoothed += weight(c) * nll(c) * spec.smoothing / static_cast<double>(C);
    loss += spec.cross_entropy * ((1 - spec.smoothing) * weight(label) * nll(label) + smoothed);
    loss += spec.focal * weight(label) * std::pow(std::max(0.0L, 1 - std::exp(-nll(label))), spec.gamma) * nll(label);
    total += weight(label);
  }
  return total == 0 ? 0 : static_cast<double>(loss / total);
}

double soft_dice(const LossSumSpec& spec, const Batch& batch, bool of_batch) {
  Guarded<double> logits(batch.logits);
  Guarded<std::uint8_t> labels(batch.labels);
  const View x = logits.view(batch.dims);
  std::vector<double> scratch(cpu::soft_dice_scratch(x) / sizeof(double));
  std::vector<double> sums(static_cast<std::size_t>(x.n() * x.c() * 3));
  SoftDiceResult result;
  cpu::soft_dice_forward({spec.smooth, of_batch, spec.background, 255}, x, labels.view(batch.label_dims()), sums.data(),
                         &result, scratch.data());
  return result.loss;
}

double naive(const LossSumSpec& spec, const Batch& batch, const std::vector<double>& weights) {
  return naive_pixels(spec, batch, weights) + spec.dice * soft_dice(spec, batch, false) +
         spec.dice_batch * soft_dice(spec, batch, true);
}

std::vector<double> some_weights(std::size_t C) {
  std::vector<double> weights;
  for (std::size_t c = 0; c < C; ++c) weights.push_back(0.25 + 0.125 * static_cast<double>(c % 7));
  return weights;
}

const std::vector<LossSumSpec>& specs() {
  static const std::vector<LossSumSpec> all{
      {.cross_entropy = 1},
      {.cross_entropy = 0.75, .smoothing = 0.125},
      {.focal = 1},
      {.focal = 2, .gamma = 0.5},
      {.focal = 0.5, .gamma = 3},
      {.dice = 1},
      {.cross_entropy = 1, .dice = 0.5},
      {.dice = 0.25, .dice_batch = 2, .smooth = 0.5, .background = true},
      {.cross_entropy = 1, .focal = 0.5, .dice = 0.25, .dice_batch = 0.75, .smoothing = 0.25, .gamma = 1.5}};
  return all;
}

TEST(LossSum, EqualsTheFormula) {
  for (const auto& dims : batch_shapes()) {
    const Batch batch = random_batch(dims);
    for (const LossSumSpec& spec : specs()) {
      for (const auto& weights : {std::vector<double>{}, some_weights(batch.classes())}) {
        SCOPED_TRACE(testing::PrintToString(dims) + " spec " + std::to_string(&spec - specs().data()));
        const double expected = naive(spec, batch, weights);
        const Result f64 = run<double>(spec, batch, weights, 1), f32 = run<float>(spec, batch, weights, 1);
        EXPECT_NEAR(f64.result.loss, expected, 1e-13 * expected + 1e-15);
        EXPECT_NEAR(f32.result.loss, expected, 2e-6 * expected + 1e-15);
        EXPECT_LE(nmse(f32.gradient, f64.gradient), 1e-11);
      }
    }
  }
}

TEST(LossSum, GradCheckByCentralDifferences) {
  for (const auto& dims : batch_shapes()) {
    if (dims[1] * dims[2] * dims[3] > 3'000) continue;  // thousands of forward passes
    Batch batch = random_batch(dims, 2);
    batch.labels[0] = 0;  // something counts even in the smallest shape
    const auto weights = some_weights(batch.classes());
    const double scale = static_cast<double>(batch.pixels());
    for (const LossSumSpec& spec : specs()) {
      SCOPED_TRACE(testing::PrintToString(dims) + " spec " + std::to_string(&spec - specs().data()));
      check_gradient(
          [&](const std::vector<double>& x) {
            return scale * run<double>(spec, {batch.dims, x, batch.labels}, weights, 0).result.loss;
          },
          batch.logits, run<double>(spec, batch, weights, scale).gradient);
    }
  }
}

TEST(LossSum, EveryInstructionSetComputesTheSame) {
  for (const auto* table :
       runnable(cpu::baseline::loss_sum_loops, cpu::avx2::loss_sum_loops, cpu::avx512::loss_sum_loops)) {
    for (const auto& dims : batch_shapes()) {
      if (dims[0] != 1) continue;  // the loops are given one image
      const Batch batch = random_batch(dims);
      const std::size_t C = batch.classes();
      const LossSumSpec& spec = specs().back();
      SCOPED_TRACE(testing::PrintToString(dims));
      const std::vector<double> weights = some_weights(C), slope(C, 0.5), offset(C, -0.125);
      const auto compute = [&]<class T>(T, const auto& loops, std::vector<double>& sums, LossSumResult& result) {
        Guarded<T> logits(batch.logits), gradient(batch.logits.size()), class_weights(weights);
        const auto pixels = static_cast<std::int64_t>(batch.pixels());
        loops.forward(spec, logits.begin(), batch.labels.data(), class_weights.begin(), pixels, static_cast<int>(C),
                      sums.data(), &result);
        loops.backward(spec, logits.begin(), batch.labels.data(), class_weights.begin(), pixels, static_cast<int>(C),
                       1.0, slope.data(), offset.data(), gradient.begin());
        EXPECT_TRUE(gradient.intact());
        const std::vector<T> values = gradient.values();
        return std::vector<double>(values.begin(), values.end());
      };
      std::vector<double> sums(C * 3), want_sums(C * 3);
      LossSumResult got, want;
      const std::vector<double> expected =
          compute(double{}, cpu::baseline::loss_sum_loops.of(double{}), want_sums, want);
      EXPECT_LE(nmse(compute(float{}, table->of(float{}), sums, got), expected), 1e-11);
      EXPECT_NEAR(got.pixels, want.pixels, 1e-6 * want.pixels + 1e-15);
      EXPECT_EQ(got.weight, want.weight);
      EXPECT_LE(nmse(sums, want_sums), 1e-13);
    }
  }
}

TEST(LossSum, OfOneTermIsThatLoss) {
  for (const auto& dims : batch_shapes()) {
    SCOPED_TRACE(testing::PrintToString(dims));
    const Batch batch = random_batch(dims);
    const auto weights = some_weights(batch.classes());
    Guarded<float> logits(batch.logits), class_weights(weights), gradient(batch.logits.size());
    Guarded<std::uint8_t> labels(batch.labels);
    const View x = logits.view(dims), y = labels.view(batch.label_dims()), w = class_weights.flat();
    std::vector<std::uint64_t> scratch(cpu::cross_entropy_scratch(x) / 8 + 1);
    CrossEntropySums sums;
    const double scale = 1;
    cpu::cross_entropy_forward({}, x, y, w, &sums, scratch.data());
    cpu::cross_entropy_backward({}, x, y, w, &sums, &scale, gradient.view(dims));
    for (const LossSumSpec& spec : {LossSumSpec{.cross_entropy = 1}, LossSumSpec{.focal = 1, .gamma = 0}}) {
      const Result got = run<float>(spec, batch, weights, 1);
      EXPECT_NEAR(got.result.loss, sums.mean, 1e-6 * sums.mean + 1e-15);
      EXPECT_EQ(got.result.weight, sums.weight);
      EXPECT_LE(nmse(got.gradient, gradient.values()), 1e-12);
    }
    const double dice = soft_dice({}, batch, false), of_batch = soft_dice({}, batch, true);
    EXPECT_NEAR(run<double>({.dice = 1}, batch, weights, 0).result.loss, dice, 1e-14);
    EXPECT_NEAR(run<double>({.dice_batch = 1}, batch, weights, 0).result.loss, of_batch, 1e-14);
  }
}

/// 1 - p of the label is e^-z for large z: the loss is q^(gamma + 1), its slope (gamma + 1) times as much, with the
/// digits of f32 down to the smallest normal number.
TEST(LossSum, SmallFocalLossesKeepTheirDigits) {
  for (const std::int64_t C : {2, 3}) {
    for (double z = 20; z < 43; z += 0.37) {
      const auto exact = static_cast<double>(static_cast<float>(z));
      Batch batch{{1, 1, 1, C}, std::vector<double>(static_cast<std::size_t>(C), -1e4), {0}};
      batch.logits[0] = exact;
      batch.logits[1] = 0;
      const double q = std::exp(-exact);
      for (const double gamma : {0.0, 0.5, 1.0}) {
        const Result got = run<float>({.focal = 1, .gamma = gamma}, batch, {}, 1);
        EXPECT_NEAR(got.result.loss / std::pow(q, gamma + 1), 1, 1e-5) << C << " classes, " << z << ", " << gamma;
        EXPECT_NEAR(got.gradient[1] / ((gamma + 1) * std::pow(q, gamma + 1)), 1, 1e-5)
            << C << ", " << z << ", " << gamma;
      }
    }
  }
}

TEST(LossSum, ExtremeLogitsStayFinite) {
  for (const std::int64_t C : {1, 2, 3}) {
    Batch batch = random_batch({1, 1, 3, C}, 0, false);
    std::fill(batch.logits.begin(), batch.logits.end(), 0.0);
    const auto last = static_cast<std::size_t>(C - 1);
    batch.labels = {0, static_cast<std::uint8_t>(last), 0};
    batch.logits[0] = 1e30, batch.logits[batch.classes()] = 3e4, batch.logits[2 * batch.classes() + last] = -3e38;
    for (const LossSumSpec& spec : specs()) {
      const Result got = run<float>(spec, batch, {}, 1);
      EXPECT_TRUE(std::isfinite(got.result.loss));
      for (const double g : got.gradient)
        EXPECT_TRUE(std::isfinite(g)) << C << " classes, spec " << &spec - &specs()[0];
    }
  }
}

TEST(LossSum, NothingCountedGivesZeroLossAndZeroGradient) {
  for (const std::int64_t C : {1, 2, 3}) {
    Batch batch = random_batch({2, 5, 7, C});
    std::fill(batch.labels.begin(), batch.labels.end(), std::uint8_t{255});
    for (LossSumSpec spec : specs()) {
      for (const double smooth : {1.0, 0.0}) {
        spec.smooth = smooth;
        const Result result = run<float>(spec, batch, {}, 1);
        EXPECT_EQ(result.result.loss, 0);
        EXPECT_EQ(result.gradient, std::vector<double>(batch.logits.size(), 0));
      }
    }
  }
}

TEST(LossSum, WeightsOfZeroLeaveTheDiceTermsAlone) {
  const Batch batch = random_batch({2, 5, 7, 3});
  const Result got = run<double>({.cross_entropy = 1, .focal = 1, .dice = 0.5, .smoothing = 0.5}, batch, {0, 0, 0}, 1);
  const Result dice = run<double>({.dice = 0.5}, batch, {}, 1);
  EXPECT_EQ(got.result.loss, dice.result.loss);
  EXPECT_EQ(got.gradient, dice.gradient);
}

TEST(LossSum, LabelsOutsideTheClassesMakeItNanAndAreIgnored) {
  for (const std::int64_t C : {1, 2, 3}) {
    Batch batch = random_batch({1, 9, 15, C}, 3, false);
    batch.labels[3] = static_cast<std::uint8_t>(C);
    batch.labels[70] = 254;
    batch.labels[134] = 255;
    const Result result = run<float>(specs().back(), batch, {}, 1);
    EXPECT_EQ(result.result.invalid, 2);
    EXPECT_EQ(result.result.weight, 132);
    EXPECT_TRUE(std::isnan(result.result.loss));
    for (const std::size_t pixel : {3, 70, 134}) {
      for (std::size_t c = 0; c < batch.classes(); ++c) EXPECT_EQ(result.gradient[pixel * batch.classes() + c], 0);
    }
  }
}

TEST(LossSum, NanLogitGivesNanLossUnlessIgnored) {
  for (const std::int64_t C : {1, 2, 3}) {
    for (std::int64_t c = 0; c < C; ++c) {
      Batch batch = random_batch({1, 9, 15, C}, 3, false);
      batch.logits[static_cast<std::size_t>(71 * C + c)] = NAN;
      for (const LossSumSpec& spec : specs()) {
        SCOPED_TRACE(std::to_string(C) + " classes, class " + std::to_string(c));
        batch.labels[71] = 0;
        EXPECT_TRUE(std::isnan(run<float>(spec, batch, {}, 0).result.loss));
        EXPECT_TRUE(std::isnan(run<double>(spec, batch, {}, 0).result.loss));
        batch.labels[71] = 255;
        EXPECT_TRUE(std::isfinite(run<float>(spec, batch, {}, 0).result.loss));
        EXPECT_TRUE(std::isfinite(run<double>(spec, batch, {}, 0).result.loss));
      }
    }
  }
}

TEST(LossSum, SameBytesForAnyNumberOfThreads) {
  for (const std::int64_t C : {2, 12}) {
    const Batch batch = random_batch({2, 97, 83, C});
    expect_same_for_any_threads([&] {
      std::vector<unsigned char> bytes;
      for (const Result& result :
           {run<float>(specs().back(), batch, {}, 1), run<double>(specs().back(), batch, {}, 1)}) {
        append_bytes(bytes, &result.result, 1);
        append_bytes(bytes, result.gradient.data(), result.gradient.size());
      }
      return bytes;
    });
  }
}

}  // namespace
}  // namespace unet::kernels::test::loss_sum_test
