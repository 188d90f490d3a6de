#include "engine/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "tests/support/places.h"

namespace unet::schedule_test {
namespace {

TEST(Schedule, ConstantIsConstant) {
  const ScheduleSpec spec{.kind = ScheduleKind::constant, .lr = 1e-3};
  for (const std::int64_t step : {0, 1, 99, 100, 1000}) EXPECT_EQ(learning_rate(spec, step, 100), 1e-3);
}

TEST(Schedule, WarmUpRisesLinearlyForEveryKind) {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::poly, ScheduleKind::plateau}) {
    const ScheduleSpec spec{.kind = kind, .lr = 0.8, .warmup = 4};
    EXPECT_DOUBLE_EQ(learning_rate(spec, 0, 100), 0.2);
    EXPECT_DOUBLE_EQ(learning_rate(spec, 1, 100), 0.4);
    EXPECT_DOUBLE_EQ(learning_rate(spec, 2, 100), 0.6);
    EXPECT_DOUBLE_EQ(learning_rate(spec, 3, 100), 0.8);
    EXPECT_DOUBLE_EQ(learning_rate(spec, 4, 100), 0.8);
    EXPECT_DOUBLE_EQ(learning_rate(spec, 1, 3), 0.4) << "a phase shorter than its warm-up";
  }
}

/// torch 1.13: CosineAnnealingLR(SGD(lr=0.1), T_max=8), get_last_lr() before each of 8 steps, then after the last.
TEST(Schedule, CosineParityWithPyTorch) {
  const double expected[] = {0.1,  0.09619397662556434,  0.08535533905932738,  0.0691341716182545,
                             0.05, 0.030865828381745515, 0.014644660940672627, 0.003806023374435663,
                             0.0};
  const ScheduleSpec spec{.kind = ScheduleKind::cosine, .lr = 0.1};
  for (std::int64_t step = 0; step <= 8; ++step) EXPECT_NEAR(learning_rate(spec, step, 8), expected[step], 1e-16);
  const ScheduleSpec later{.kind = ScheduleKind::cosine, .lr = 0.1, .warmup = 5};
  for (std::int64_t step = 0; step <= 8; ++step) EXPECT_NEAR(learning_rate(later, step + 5, 13), expected[step], 1e-16);
}

TEST(Schedule, PolyParityWithPyTorch) {
  const auto expected =
      nlohmann::json::parse(std::ifstream(places::source("tests/engine/train/recipe_values.json")))["poly"]
          .get<std::vector<double>>();
  ASSERT_EQ(expected.size(), 9u);
  const ScheduleSpec spec{.kind = ScheduleKind::poly, .lr = 0.1};
  const ScheduleSpec later{.kind = ScheduleKind::poly, .lr = 0.1, .warmup = 5};
  for (std::size_t step = 0; step < expected.size(); ++step) {
    const auto s = static_cast<std::int64_t>(step);
    EXPECT_NEAR(learning_rate(spec, s, 8), expected[step], 1e-16);
    EXPECT_NEAR(learning_rate(later, s + 5, 13), expected[step], 1e-16);
  }
  EXPECT_EQ(learning_rate(spec, 9, 8), 0);
  EXPECT_NEAR(learning_rate({.kind = ScheduleKind::poly, .lr = 0.1, .end_fraction = 0.25}, 4, 8),
              0.025 + 0.075 * std::pow(0.5, 0.9), 1e-17);
}

TEST(Schedule, CosineEndsAtTheEndValueAndStays) {
  const ScheduleSpec spec{.kind = ScheduleKind::cosine, .lr = 0.1, .end_fraction = 0.25};
  EXPECT_DOUBLE_EQ(learning_rate(spec, 0, 10), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(spec, 5, 10), 0.0625);
  EXPECT_DOUBLE_EQ(learning_rate(spec, 10, 10), 0.025);
  EXPECT_DOUBLE_EQ(learning_rate(spec, 11, 10), 0.025);
  double last = 1;
  for (std::int64_t step = 0; step < 10; ++step) {
    const double rate = learning_rate(spec, step, 10);
    EXPECT_LT(rate, last);
    EXPECT_GT(rate, 0.025);
    last = rate;
  }
}

TEST(Schedule, PlateauDividesAfterMoreThanPatienceBadEpochs) {
  const ScheduleSpec spec{.kind = ScheduleKind::plateau, .lr = 1, .end_fraction = 0.02, .factor = 0.1, .patience = 2};
  PlateauState state;
  const auto epoch = [&](double dice) {
    state = update_plateau(spec, state, dice);
    return learning_rate(spec, 50, 100, state);
  };
  EXPECT_DOUBLE_EQ(epoch(0.5), 1);
  EXPECT_DOUBLE_EQ(epoch(0.5), 1) << "1st bad epoch: no better than the best";
  EXPECT_DOUBLE_EQ(epoch(0.50005), 1) << "2nd: better by less than the threshold";
  EXPECT_EQ(state.bad_epochs, 2);
  EXPECT_EQ(state.best, 0.5);
  EXPECT_DOUBLE_EQ(epoch(0.6), 1) << "better: counting starts anew";
  EXPECT_EQ(state.bad_epochs, 0);
  EXPECT_DOUBLE_EQ(epoch(0.55), 1);
  EXPECT_DOUBLE_EQ(epoch(std::nan("")), 1);
  EXPECT_DOUBLE_EQ(epoch(0.6), 0.1) << "3rd bad epoch in a row";
  EXPECT_EQ(state.bad_epochs, 0);
  epoch(0.1), epoch(0.1);
  EXPECT_DOUBLE_EQ(epoch(0.1), 0.02) << "not below the end value";
}

TEST(Schedule, PlateauCountsAFirstMetricOfZeroAsBest) {
  EXPECT_EQ(update_plateau({.kind = ScheduleKind::plateau}, {}, 0).best, 0);
}

TEST(Schedule, PlateauStateCarriesEverythingAcrossARestart) {
  const ScheduleSpec spec{.kind = ScheduleKind::plateau, .lr = 1, .factor = 0.5, .patience = 1};
  PlateauState whole, halves;
  const double dice[] = {0.3, 0.2, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1};
  for (const double d : dice) whole = update_plateau(spec, whole, d);
  for (const double d : dice) {
    const PlateauState restored{.fraction = halves.fraction, .best = halves.best, .bad_epochs = halves.bad_epochs};
    halves = update_plateau(spec, restored, d);
  }
  EXPECT_EQ(whole.fraction, 0.125);
  EXPECT_EQ(halves.fraction, whole.fraction);
  EXPECT_EQ(halves.best, whole.best);
  EXPECT_EQ(halves.bad_epochs, whole.bad_epochs);
}

TEST(Schedule, RangesAreChecked) {
  EXPECT_NO_THROW(check_schedule(ScheduleSpec{}));
  EXPECT_THROW(check_schedule({.lr = 0}), Error);
  EXPECT_THROW(check_schedule({.lr = std::nan("")}), Error);
  EXPECT_THROW(check_schedule({.warmup = -1}), Error);
  EXPECT_THROW(check_schedule({.end_fraction = 1.5}), Error);
  EXPECT_THROW(check_schedule({.factor = 1}), Error);
  EXPECT_THROW(check_schedule({.patience = -1}), Error);
  EXPECT_THROW(check_schedule({.threshold = -1}), Error);
}

}  // namespace
}  // namespace unet::schedule_test
