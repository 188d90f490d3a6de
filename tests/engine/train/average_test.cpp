// An average of the weights: PyTorch's; behind the verdict and for frozen groups; shown, saved and gone on with.
#include "engine/train/average.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/train/checkpoint.h"
#include "engine/train/sgd.h"
#include "tests/engine/train/toy.h"
#include "tests/support/file_support.h"
#include "tests/support/places.h"

namespace unet::tests::average_test {
namespace {

using Numbers = std::vector<double>;

Numbers of(const Tensor& values, const Tensor& running) {
  Numbers out = values.values<double>();
  const Numbers more = running.values<double>();
  out.insert(out.end(), more.begin(), more.end());
  return out;
}
Numbers trained(const WeightAverage& average) { return of(average.trained_values(), average.trained_running()); }
Numbers averaged(const WeightAverage& average) { return of(average.values(), average.running()); }
Numbers now(const Parameters& parameters) { return of(parameters.values(), parameters.running()); }

TEST(WeightAverage, ParityWithRecordedPyTorchValues) {
  const auto records =
      nlohmann::json::parse(std::ifstream(places::source("tests/engine/train/recipe_values.json")))["averages"];
  ASSERT_EQ(records.size(), 3u);
  for (const auto& record : records) {
    Parameters parameters(Dtype::f64);
    const std::vector<ParamId> ids{parameters.add("weight", {3, 2}, {}), parameters.add("norm.weight", {3}, {}),
                                   parameters.add("norm.bias", {3}, {})};
    const StatsId stats = parameters.add_stats("norm", 3);
    parameters.initialize(1);
    const auto slices = [&](const Tensor& values, const Tensor& running) {
      std::vector<Tensor> out;
      for (const ParamId id : ids) {
        const Parameters::Param& param = parameters.params()[static_cast<std::size_t>(id.index)];
        out.push_back(values.range(param.offset, param.shape));
      }
      const Parameters::Stats& of = parameters.stats()[static_cast<std::size_t>(stats.index)];
      for (const std::int64_t offset : {of.mean_offset, of.variance_offset}) out.push_back(running.range(offset, {3}));
      return out;
    };
    const auto fill = [&](const Numbers& flat) {
      auto from = flat.begin();
      for (const Tensor& slice : slices(parameters.values(), parameters.running())) {
        std::copy_n(from, slice.size(), slice.data<double>());
        from += slice.size();
      }
    };
    fill(record["start"]);
    WeightAverage average(parameters, record["decay"]);
    const kernels::StepControl control;
    ASSERT_EQ(record["steps"].size(), 6u);
    for (const auto& step : record["steps"]) {
      fill(step["trained"]);
      average.update(&control);
      Numbers flat;
      for (const Tensor& slice : slices(average.values(), average.running())) {
        for (const double value : slice.values<double>()) flat.push_back(value);
      }
      EXPECT_LE(max_relative(flat, step["average"].get<Numbers>()), 1e-14) << record["decay"];
    }
  }
}

/// A toy that SGD trains, with an average behind it.
struct Training {
  Toy toy;
  Sgd sgd{toy.parameters, {.momentum = 0.5}};
  WeightAverage average{toy.parameters, 0.75};
  Step step{toy.parameters, sgd};

  explicit Training(Dtype dtype = Dtype::f64) : toy(dtype) {
    step.after_update([this](const kernels::StepControl* control) { average.update(control); });
  }
};

TEST(WeightAverage, FollowsTheVerdictAndLeavesWhatIsFrozen) {
  Training t;
  const Numbers start = now(t.toy.parameters);
  EXPECT_EQ(averaged(t.average), start);
  const Tensor encoder = t.toy.parameters.value({0});
  const Numbers frozen = encoder.values<double>();
  t.toy.parameters.set_trainable("encoder", false);
  Numbers expected;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double lr : {nan, 0.1, nan, 0.2, 0.1, 0.05}) {
    const bool committed = t.toy.step(t.step, 1, lr).committed;
    EXPECT_EQ(committed, lr == lr);
    const Numbers trained = now(t.toy.parameters);
    if (committed && expected.empty()) {
      expected = trained;
      EXPECT_NE(expected, start);
    } else if (committed) {
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = 0.75 * expected[i] + 0.25 * trained[i];
    }
    EXPECT_LE(max_relative(averaged(t.average), expected.empty() ? start : expected), 1e-14);
  }
  EXPECT_GT(max_relative(averaged(t.average), now(t.toy.parameters)), 1e-3);
  EXPECT_EQ(t.average.values().range(0, encoder.shape()).values<double>(), frozen) << "bit for bit";
}

TEST(WeightAverage, IsShownWithoutACopyAndHiddenAgain) {
  Training t;
  for (std::uint64_t i = 1; i <= 3; ++i) t.toy.step(t.step, i, 0.1);
  const Numbers is_trained = now(t.toy.parameters), is_average = averaged(t.average);
  EXPECT_NE(is_trained, is_average);
  const void* const memory = t.toy.parameters.values().data<void>();
  for (int times = 0; times < 2; ++times) t.average.show();
  EXPECT_EQ(now(t.toy.parameters), is_average);
  EXPECT_EQ(averaged(t.average), is_average);
  EXPECT_EQ(trained(t.average), is_trained);
  EXPECT_NE(t.toy.parameters.values().data<void>(), memory);
  for (int times = 0; times < 2; ++times) t.average.hide();
  EXPECT_EQ(now(t.toy.parameters), is_trained);
  EXPECT_EQ(averaged(t.average), is_average);
  EXPECT_EQ(t.toy.parameters.values().data<void>(), memory);
}

TEST(WeightAverage, IsTheModelOfItsFilesAndGoesOnExactly) {
  const TemporaryFolder folder;
  Training whole, halves;
  for (std::uint64_t i = 1; i <= 6; ++i) whole.toy.step(whole.step, i, 0.1);
  for (std::uint64_t i = 1; i <= 3; ++i) halves.toy.step(halves.step, i, 0.1);
  save_training(folder / "hidden", halves.toy.parameters, halves.sgd, {}, &halves.average);
  const Numbers average = averaged(halves.average);
  halves.average.show();
  save_training(folder / "shown", halves.toy.parameters, halves.sgd, {}, &halves.average);
  EXPECT_TRUE(read_file(folder / "hidden") == read_file(folder / "shown"));

  Toy model;
  load_model(SafetensorsFile(folder / "hidden"), model.parameters);
  EXPECT_EQ(now(model.parameters), average);
  EXPECT_EQ(model.parameters.stats()[0].batches_tracked, 3);

  for (const bool used : {false, true}) {
    Training again;
    if (used) again.toy.step(again.step, 8, 0.3);
    load_training(SafetensorsFile(folder / "hidden"), again.toy.parameters, again.sgd, &again.average);
    EXPECT_EQ(again.sgd.group_steps(), (std::vector<std::int64_t>{3, 3}));
    for (std::uint64_t i = 4; i <= 6; ++i) again.toy.step(again.step, i, 0.1);
    EXPECT_EQ(now(again.toy.parameters), now(whole.toy.parameters));
    EXPECT_EQ(averaged(again.average), averaged(whole.average));
    EXPECT_EQ(again.sgd.moments()[0].values.values<double>(), whole.sgd.moments()[0].values.values<double>());
  }
}

TEST(WeightAverage, OfATrainingWithoutAnyIsRefusedBothWaysAndNothingChanges) {
  const TemporaryFolder folder;
  Training t(Dtype::f32);
  t.toy.step(t.step, 1, 0.1);
  save_training(folder / "with", t.toy.parameters, t.sgd, {}, &t.average);
  save_training(folder / "without", t.toy.parameters, t.sgd, {});
  t.toy.step(t.step, 2, 0.1);
  const Numbers before = now(t.toy.parameters), average = averaged(t.average);
  EXPECT_EQ(error_of([&] { load_training(SafetensorsFile(folder / "with"), t.toy.parameters, t.sgd); }),
            (folder / "with").string() +
                ": holds an average of the weights (\"state.trained_values\"), which this training has not; nothing "
                "was loaded");
  const std::string missing =
      error_of([&] { load_training(SafetensorsFile(folder / "without"), t.toy.parameters, t.sgd, &t.average); });
  EXPECT_NE(missing.find("\"state.trained_values\" is missing, expected F32 ["), missing.npos) << missing;
  Adam adam(t.toy.parameters, {});
  const std::string other =
      error_of([&] { load_training(SafetensorsFile(folder / "without"), t.toy.parameters, adam); });
  EXPECT_NE(other.find("\"state.adam_m\" is missing"), other.npos) << other;
  EXPECT_EQ(now(t.toy.parameters), before);
  EXPECT_EQ(averaged(t.average), average);
  EXPECT_EQ(adam.steps(), 0);
}

TEST(WeightAverage, WhatNoTrainingLeavesIsRefusedAndNothingChanges) {
  const TemporaryFolder folder;
  Training good;
  good.toy.step(good.step, 1, 0.1);
  const Numbers before = now(good.toy.parameters), average = averaged(good.average);
  const auto refusal = [&](const std::function<void(Parameters&)>& spoil) {
    Training bad;
    spoil(bad.toy.parameters);
    save_training(folder / "bad", bad.toy.parameters, bad.sgd, {}, &bad.average);
    const SafetensorsFile file(folder / "bad");
    return error_of([&] { load_training(file, good.toy.parameters, good.sgd, &good.average); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string values = refusal([&](Parameters&p) { p.values().data<double>()[2] = nan; }),
                    mean = refusal([&](Parameters&p) { p.running({0}).mean.data<double>()[0] = nan; }),
                    variance = refusal([](Parameters&p) { p.running({0}).variance.data<double>()[1] = -0.5; });
  EXPECT_NE(values.find("\"state.trained_values\" holds nan at element 2"), values.npos) << values;
  EXPECT_NE(mean.find("\"state.trained_running\" holds nan at element 0"), mean.npos) << mean;
  EXPECT_NE(variance.find("\"state.trained_running\" holds -0.5 as a variance of \"encoder.norm\""), variance.npos)
      << variance;
  EXPECT_EQ(now(good.toy.parameters), before);
  EXPECT_EQ(averaged(good.average), average);
  EXPECT_EQ(good.sgd.steps(), 1);
}

TEST(WeightAverage, MisuseIsAnErrorThatSaysWhat) {
  Toy toy;
  for (const double decay : {0.0, 1.0, -0.5, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_NE(error_of([&] { WeightAverage(toy.parameters, decay); }).find("expected above 0 and below 1"),
              std::string::npos);
  }
  WeightAverage average(toy.parameters, 0.5);
  average.show();
  const kernels::StepControl control;
  EXPECT_EQ(error_of([&] { average.update(&control); }),
            "average of weights: a step while the parameters are the average");
}

}  // namespace
}  // namespace unet::tests::average_test
