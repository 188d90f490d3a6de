#include "kernels/confusion.h"

#include "kernels/cpu/isa/confusion.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::confusion_test {
namespace {

struct Result {
  std::vector<std::array<std::int64_t, 3>> counts;
  std::vector<std::uint8_t> prediction;
  bool operator==(const Result&) const = default;
};

std::array<std::int64_t, 3> numbers(const ClassCounts& c) { return {c.both, c.predicted, c.truth}; }

template <class T>
Result run(const Batch& batch, int ignore_index = 255) {
  Guarded<T> logits(batch.logits);
  Guarded<std::uint8_t> labels(batch.labels), prediction(batch.pixels());
  const std::size_t count = static_cast<std::size_t>(batch.dims[0]) * batch.classes();
  std::vector<ClassCounts> counts(count + 1, ClassCounts{-7, -7, -7}), again = counts;
  const View x = logits.view(batch.dims), y = labels.view(batch.label_dims());
  cpu::confusion(x, y, ignore_index, counts.data(), prediction.view(batch.label_dims()));
  cpu::confusion(x, y, ignore_index, again.data(), {});
  EXPECT_TRUE(labels.intact() && prediction.intact());
  EXPECT_EQ(counts[count].both, -7);
  Result result{{}, prediction.values()};
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(numbers(counts[i]), numbers(again[i])) << "without prediction";
    result.counts.push_back(numbers(counts[i]));
  }
  return result;
}

Result naive(const Batch& batch, int ignore_index = 255) {
  const std::size_t C = batch.classes(), per_image = batch.pixels() / static_cast<std::size_t>(batch.dims[0]);
  Result result;
  result.counts.resize(static_cast<std::size_t>(batch.dims[0]) * C);
  for (std::size_t i = 0; i < batch.pixels(); ++i) {
    std::size_t best = 0;
    for (std::size_t c = 1; c < C; ++c) {
      if (batch.logits[i * C + c] > batch.logits[i * C + best]) best = c;
    }
    result.prediction.push_back(static_cast<std::uint8_t>(best));
    const std::size_t label = batch.labels[i], image = i / per_image * C;
    if (label >= C || static_cast<int>(label) == ignore_index) continue;
    ++result.counts[image + best][1];
    ++result.counts[image + label][2];
    if (best == label) ++result.counts[image + best][0];
  }
  return result;
}

TEST(Confusion, EqualsTheDefinition) {
  for (const auto& dims : batch_shapes()) {
    SCOPED_TRACE(testing::PrintToString(dims));
    const Batch batch = random_batch(dims);
    EXPECT_EQ(run<float>(batch), naive(batch));
    EXPECT_EQ(run<double>(batch), naive(batch));
  }
}

TEST(Confusion, EveryInstructionSetAgrees) {
  for (const auto* table :
       runnable(cpu::baseline::confusion_loops, cpu::avx2::confusion_loops, cpu::avx512::confusion_loops)) {
    for (const std::int64_t C : {1, 2, 12, 256}) {
      const Batch batch = random_batch({1, 9, 15, C});
      const Result expected = naive(batch);
      Guarded<float> logits(batch.logits);
      Guarded<std::uint8_t> prediction(batch.pixels());
      std::vector<ClassCounts> counts(batch.classes());
      table->of(float{}).count(logits.begin(), batch.labels.data(), 135, static_cast<int>(C), 255, counts.data(),
                               prediction.begin());
      EXPECT_EQ(prediction.values(), expected.prediction);
      EXPECT_TRUE(prediction.intact());
      for (std::size_t c = 0; c < batch.classes(); ++c) EXPECT_EQ(numbers(counts[c]), expected.counts[c]);
    }
  }
}

TEST(Confusion, FirstOfEqualLogitsWins) {
  for (const std::int64_t C : {2, 3, 12}) {
    Batch batch = random_batch({1, 9, 15, C}, 0);
    EXPECT_EQ(run<float>(batch).prediction, std::vector<std::uint8_t>(batch.pixels(), 0));
    for (std::size_t i = 0; i < batch.pixels(); ++i) batch.logits[i * batch.classes()] = -1;
    EXPECT_EQ(run<float>(batch).prediction, std::vector<std::uint8_t>(batch.pixels(), 1));
  }
}

TEST(Confusion, IgnoredAndInvalidLabelsCountNowhere) {
  Batch batch = random_batch({2, 8, 8, 3}, 3, false);
  std::fill(batch.labels.begin(), batch.labels.begin() + 64, std::uint8_t{255});
  batch.labels[64] = 3;
  batch.labels[65] = 200;
  const Result result = run<float>(batch);
  EXPECT_EQ(result, naive(batch));
  std::int64_t predicted = 0, truth = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    if (i < 3) {
      EXPECT_EQ(result.counts[i], (std::array<std::int64_t, 3>{0, 0, 0}));
    }
    predicted += result.counts[i][1];
    truth += result.counts[i][2];
  }
  EXPECT_EQ(predicted, 62);
  EXPECT_EQ(truth, 62);
  EXPECT_EQ(run<float>(batch, 1), naive(batch, 1));
}

TEST(Confusion, NanIsNeverTheLargestUnlessItComesFirst) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::int64_t C : {2, 3}) {
    for (std::int64_t place = 0; place < C; ++place) {
      std::vector<float> x(static_cast<std::size_t>(C), 1.0f);
      x[static_cast<std::size_t>(place)] = nan;
      Guarded<float> logits(x);
      Guarded<std::uint8_t> labels(std::vector<int>{0}), prediction(1);
      std::vector<ClassCounts> counts(static_cast<std::size_t>(C));
      cpu::confusion(logits.view({1, 1, 1, C}), labels.view({1, 1, 1, 1}), 255, counts.data(), prediction.flat());
      EXPECT_EQ(prediction.values()[0], 0);
    }
  }
}

TEST(Confusion, SameForAnyNumberOfThreads) {
  const Batch batch = random_batch({2, 97, 83, 5});
  expect_same_for_any_threads([&] {
    const Result result = run<float>(batch);
    std::vector<unsigned char> bytes;
    append_bytes(bytes, result.counts.data(), result.counts.size());
    append_bytes(bytes, result.prediction.data(), result.prediction.size());
    return bytes;
  });
}

}  // namespace
}  // namespace unet::kernels::test::confusion_test
