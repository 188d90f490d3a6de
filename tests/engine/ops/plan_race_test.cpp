#include "engine/ops/plan_race.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace unet::tests::plan_race_test {
namespace {

/// Candidates of made-up times, a row each, a round a column; what was run is noted in order.
struct Made {
  std::vector<std::vector<double>> times;
  std::vector<double> trials{};
  std::vector<std::size_t> order{};
  std::map<std::size_t, std::size_t> rounds{};

  std::optional<std::size_t> race(const Race& race) {
    return fastest(
        times.size(), race,
        [this](std::size_t i) {
          order.push_back(i);
          return trials.empty() ? 1 : trials.at(i);
        },
        [this](std::size_t i) { return times.at(i).at(rounds[i]++); });
  }
};

TEST(PlanRace, TheLeastMedianWins) {
  Made made{{{5, 5, 5}, {4, 7, 4}, {4.5, 4.5, 4.5}}};
  EXPECT_EQ(made.race({.rounds = 3, .share = 1}), 1u) << "one slow round says nothing";
  EXPECT_EQ(made.order, (std::vector<std::size_t>{0, 1, 2})) << "what each loads is not in its time";
}

TEST(PlanRace, TheFirstIsKeptUnlessAnotherIsClearlyFaster) {
  EXPECT_EQ((Made{{{10}, {9.6}}}.race({.rounds = 1, .share = 0.95})), 0u);
  EXPECT_EQ((Made{{{10}, {9.4}}}.race({.rounds = 1, .share = 0.95})), 1u);
  EXPECT_EQ((Made{{{10}, {9.6}, {9.4}}}.race({.rounds = 1, .share = 0.95})), 2u) << "the best, not the second";
  EXPECT_EQ((Made{{{10}, {10}}}.race({.rounds = 1, .share = 1})), 0u);
}

TEST(PlanRace, AMachineThatSlowsDownSlowsAllOfThem) {
  Made made{{{10, 20, 40}, {9, 18, 36}}};  // one after the other, the second would have been measured at its slowest
  EXPECT_EQ(made.race({.rounds = 3, .share = 0.95}), 1u);
}

TEST(PlanRace, WhatIsFarBehindRunsNoMore) {
  Made made{{{10, 10, 10}, {16, 1, 1}, {14, 30, 30}, {15, 9, 9}}};
  EXPECT_EQ(made.race({.rounds = 3, .share = 1}), 3u);
  EXPECT_EQ(made.rounds, (std::map<std::size_t, std::size_t>{{0, 3}, {1, 1}, {2, 2}, {3, 3}}));
  Made rough{{{10, 10}, {1, 1}, {9, 9}}, {5, 11, 10}};
  EXPECT_EQ(rough.race({.rounds = 2, .share = 1}), 2u);
  EXPECT_EQ(rough.rounds, (std::map<std::size_t, std::size_t>{{0, 2}, {2, 2}})) << "by its trial";
  Made slow_first{{{16, 1}, {10, 10}}};
  EXPECT_EQ(slow_first.race({.rounds = 2, .share = 0.95}), 1u);
}

TEST(PlanRace, WhatFailsIsLeftOutAndALostDeviceEndsIt) {
  const auto race = [](auto&& run, auto&& seconds) { return fastest(3, {.rounds = 2, .share = 1}, run, seconds); };
  const auto nothing = [](std::size_t) { return 1.0; };
  const auto fails = [](std::size_t i) {
    if (i == 0) throw std::runtime_error("not here");
    return 1.0;
  };
  const auto seconds = [](std::size_t i) { return static_cast<double>(10 - i); };
  EXPECT_EQ(race(fails, seconds), 2u);
  EXPECT_EQ(race(nothing,
                 [](std::size_t i) {
                   if (i == 2) throw std::runtime_error("at last");
                   return static_cast<double>(10 - i);
                 }),
            1u);
  EXPECT_EQ(race([](std::size_t) -> double { throw std::runtime_error("none"); }, seconds), std::nullopt);
  EXPECT_EQ(fastest(0, {.rounds = 2, .share = 1}, nothing, seconds), std::nullopt);
  EXPECT_THROW(race([](std::size_t) -> double { throw kernels::cuda::CudaError("lost"); }, seconds),
               kernels::cuda::CudaError);
}

}  // namespace
}  // namespace unet::tests::plan_race_test
