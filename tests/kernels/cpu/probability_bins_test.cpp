#include "kernels/probability_bins.h"

#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::probability_bins_test {
namespace {

using Bins = std::vector<std::int64_t>;

template <class T>
Bins run(const Batch& batch, int ignore_index = 255) {
  Guarded<T> logits(batch.logits);
  Guarded<std::uint8_t> labels(batch.labels);
  Bins bins(batch.classes() * 2 * kProbabilityBins + 1);
  bins.back() = -7;
  cpu::probability_bins(logits.view(batch.dims), labels.view(batch.label_dims()), ignore_index, bins.data());
  EXPECT_EQ(bins.back(), -7);
  bins.pop_back();
  return bins;
}

/// In f64, from the formula as it stands.
Bins naive(const Batch& batch, int ignore_index = 255) {
  const std::size_t C = batch.classes();
  Bins bins(C * 2 * kProbabilityBins);
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    const std::size_t label = batch.labels[i];
    if (label >= C || static_cast<int>(label) == ignore_index) continue;
    double sum = 0;
    for (std::size_t c = 0; c < C; ++c) sum += std::exp(static_cast<double>(batch.logits[i * C + c]));
    for (std::size_t c = 0; c < C; ++c) {
      const double p = std::exp(static_cast<double>(batch.logits[i * C + c])) / sum;
      const auto bin = static_cast<std::size_t>(std::min<int>(static_cast<int>(p * kProbabilityBins), 99));
      ++bins[(2 * c + (label == c)) * kProbabilityBins + bin];
    }
  }
  return bins;
}

TEST(ProbabilityBins, EqualTheDefinition) {
  for (const auto& dims : batch_shapes()) {
    SCOPED_TRACE(testing::PrintToString(dims));
    const Batch batch = random_batch(dims);
    EXPECT_EQ(run<double>(batch), naive(batch));
    // f32 rounds a probability at the edge of a bin into the next one: so many per mille at most.
    const Bins single = run<float>(batch), exact = naive(batch);
    std::int64_t moved = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) moved += std::abs(single[i] - exact[i]);
    EXPECT_LE(moved, 2 + static_cast<std::int64_t>(batch.logits.size()) / 1000);
  }
}

TEST(ProbabilityBins, AddToWhatIsThereAndEndInTheLast) {
  Guarded<float> logits(std::vector<float>{-200, 200, 200, -200, 0, 0, NAN, 0});
  Guarded<std::uint8_t> labels(std::vector<std::uint8_t>{1, 1, 0, 255});
  Bins bins(2 * 2 * kProbabilityBins);
  for (int i = 0; i < 2; ++i) {
    cpu::probability_bins(logits.view({1, 2, 2, 2}), labels.view({1, 2, 2, 1}), 255, bins.data());
  }
  Bins expected(bins.size());
  const auto at = [&](int c, int t, int b) -> std::int64_t& {
    return expected[static_cast<std::size_t>((2 * c + t) * kProbabilityBins + b)];
  };
  at(1, 1, 99) = at(1, 1, 0) = at(1, 0, 50) = at(0, 0, 0) = at(0, 0, 99) = at(0, 1, 50) = 2;
  EXPECT_EQ(bins, expected);
}

}  // namespace
}  // namespace unet::kernels::test::probability_bins_test
