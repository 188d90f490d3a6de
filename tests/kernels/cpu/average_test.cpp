#include "kernels/average.h"

#include "kernels/step_count.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::average_test {
namespace {

std::vector<double> random_values(std::size_t count, std::uint64_t stream) {
  std::mt19937_64 random(kSeed + stream);
  std::normal_distribution<double> normal(0, 0.3);
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(static_cast<double>(static_cast<float>(normal(random))));
  return values;
}

/// The average after a step for each of `values`.
template <class T>
std::vector<double> run(double decay, const std::vector<std::vector<double>>& values) {
  Guarded<T> average(std::vector<double>(values[0].size(), 77.0));
  std::int64_t steps = 0;
  const StepControl control;
  for (const std::vector<double>& now : values) {
    Guarded<T> given(now);
    cpu::count_step(&control, &steps);
    cpu::update_average(decay, &control, &steps, given.flat(), average.flat());
    EXPECT_TRUE(given.intact() && average.intact());
  }
  const std::vector<T> out = average.values();
  return {out.begin(), out.end()};
}

TEST(Average, EqualsItsFormulaForAnyLength) {
  for (const std::size_t count : {1u, 7u, 33u, 1000u, 40001u}) {
    const std::vector<std::vector<double>> values{random_values(count, 1), random_values(count, 2),
                                                  random_values(count, 3), random_values(count, 4)};
    EXPECT_EQ(run<float>(0.9, {values[0]}), values[0]) << "the first step is copied";
    for (const double decay : {0.9, 0.25, 0.9999}) {
      std::vector<double> expected = values[0];
      for (std::size_t t = 1; t < values.size(); ++t) {
        for (std::size_t i = 0; i < count; ++i) expected[i] = decay * expected[i] + (1 - decay) * values[t][i];
      }
      EXPECT_LE(nmse(run<double>(decay, values), expected), 1e-28);
      EXPECT_LE(nmse(run<float>(decay, values), expected), 1e-13);
    }
  }
}

TEST(Average, OfWhatStaysIsThat) {
  const std::vector<double> values = random_values(1003, 1);
  EXPECT_EQ(run<float>(0.9, std::vector(50, values)), values);
}

TEST(Average, AStepThatIsNotCommittedChangesNothing) {
  Guarded<float> values(random_values(100, 1)), average(random_values(100, 2));
  const std::vector<float> before = average.values();
  for (const std::int64_t then : {0, 7}) {
    std::int64_t steps = then;
    const StepControl control{.verdict = StepVerdict::bad_gradient};
    cpu::count_step(&control, &steps);
    cpu::update_average(0.9, &control, &steps, values.flat(), average.flat());
    EXPECT_EQ(steps, then);
    EXPECT_EQ(average.values(), before);
  }
}

TEST(Average, SameBytesForAnyNumberOfThreads) {
  const std::vector<std::vector<double>> values{random_values(100'003, 1), random_values(100'003, 2)};
  expect_same_for_any_threads([&] {
    const std::vector<double> average = run<float>(0.9, values);
    std::vector<unsigned char> bytes;
    append_bytes(bytes, average.data(), average.size());
    return bytes;
  });
}

}  // namespace
}  // namespace unet::kernels::test::average_test
