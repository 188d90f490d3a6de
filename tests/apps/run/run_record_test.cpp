// The record of a run from other hands: every field by its form and bounds, and all of them together.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/options.h"
#include "apps/run/run_state.h"
#include "engine/core/error.h"
#include "tests/support/file_support.h"

namespace unet::tests::run_record_test {
namespace {

using Json = nlohmann::json;

/// In the second epoch of phase 1, or of phase 2 after two epochs of phase 1.
std::string record_in(int phase) {
  RunRecord record;
  RunState& s = record.state;
  s.started = "20240229T235959Z";
  s.phase = phase;
  s.epoch = 2;
  s.batch = 3, s.images = 6, s.loss_sum = std::nan("");
  s.step = 8, s.all_steps = phase == 1 ? 8 : 18, s.all_epochs = phase == 1 ? 1 : 3;
  s.dropped = 2;
  s.plateau = {0.1, 0.5, 1};
  const Best first{0.5, 0.25, 1, 1, 0xffffffffffffffffu}, second{0.75, 0.5, 2, 1, 7};
  s.best_of_phase[0] = first;
  if (phase == 2) s.best_of_phase.push_back(second);
  s.best = phase == 1 ? first : second;
  s.metrics_rows = static_cast<std::uint64_t>(s.all_epochs);
  s.steps_rows = static_cast<std::uint64_t>(s.all_steps);
  record.options = {{"epochs", "2"}};
  record.data_hash = "0123456789abcdef";
  record.machine = "some machine";
  return to_text(record);
}

Json bits(double value) { return std::bit_cast<std::uint64_t>(value); }

struct Case {
  int phase;
  const char* field;
  Json value;
  const char* says = "";
};

TEST(RunRecord, ComesBack) {
  for (const int phase : {1, 2}) EXPECT_EQ(to_text(parse_record(record_in(phase)).value()), record_in(phase));
  Json old = Json::parse(record_in(2));  // of a run that knew nothing of digests
  for (const char* best : {"/state/best", "/state/best_of_phase/0", "/state/best_of_phase/1"}) {
    old[Json::json_pointer(best)].erase("weights");
  }
  EXPECT_EQ(parse_record(old.dump()).value().state.best->weights, 0u);
}

TEST(RunRecord, EveryFieldIsHeldToItsFormAndBounds) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();
  const std::vector<Case> cases{
      {1, "/state/started", "d/../../../escaped", "\"started\" is \"d/../../../escaped\""},
      {1, "/state/started", "20241301T000000Z", "started"},
      {1, "/state/started", "", "started"},
      {1, "/state/started", 7},
      {1, "/state/started", nullptr},
      {1, "/state/phase", 0, "out of range"},
      {1, "/state/phase", 100, "\"phase\" is out of range: 100, not 1 to 99"},
      {1, "/state/phase", 4294967297, "out of range"},  // 1 in 32 bits
      {1, "/state/phase", 2, "fit each other"},
      {2, "/state/phase", 1, "fit each other"},
      {1, "/state/epoch", 0, "out of range"},
      {1, "/state/epoch", -1, "negative"},
      {1, "/state/epoch", 1.5, "no whole number"},
      {1, "/state/epoch", 1e300, "no whole number"},
      {1, "/state/epoch", true, "no whole number"},
      {1, "/state/epoch", 4000000000u, "out of range"},
      {1, "/state/epoch", 3, "epochs do not fit"},
      {1, "/state/batch", 18446744073709551615u, "out of range"},
      {1, "/state/batch", 0, "batches and images"},
      {1, "/state/batch", 7, "batches and images"},
      {1, "/state/step", 9, "steps do not fit"},
      {1, "/state/all_steps", 7, "steps do not fit"},
      {1, "/state/all_epochs", 2, "epochs do not fit"},
      {2, "/state/all_epochs", 1, "epochs do not fit"},
      {1, "/state/dropped", 10, "out of range"},
      {1, "/state/dropped", 9, "steps do not fit"},
      {1, "/state/dropped", -1, "negative"},
      {1, "/state/loss_sum", 0.5, "no whole number"},
      {1, "/state/loss_sum", -1, "negative"},
      {1, "/state/images", 0, "batches and images"},
      {1, "/state/plateau/0", bits(kNan), "out of range"},
      {1, "/state/plateau/0", bits(-0.5), "out of range"},
      {1, "/state/plateau/0", bits(2), "out of range"},
      {1, "/state/plateau/1", bits(kInf), "out of range"},
      {1, "/state/plateau/2", -1, "negative"},
      {1, "/state/plateau/2", 18446744073709551615u, "out of range"},
      {1, "/state/plateau", nullptr},
      {1, "/state/best", nullptr, "a best epoch is missing"},
      {2, "/state/best", nullptr, "a best epoch is missing"},
      {1, "/state/best_of_phase/0", nullptr, "a best epoch is missing"},
      {2, "/state/best_of_phase/0", nullptr, "a best epoch is missing"},
      {2, "/state/best_of_phase/1", nullptr, "a best epoch is missing"},
      {1, "/state/best_of_phase/1", Json::parse(record_in(2))["state"]["best"], "not one for each phase"},
      {1, "/state/best_of_phase", Json::array(), "not one for each phase"},
      {2, "/state/best_of_phase/2", nullptr, "not one for each phase"},
      {1, "/state/best/phase", 2, "of no phase that was"},
      {1, "/state/best/phase", 0, "out of range"},
      {1, "/state/best/phase", 339411833, "out of range"},
      {1, "/state/best/epoch", 2, "not the best of its phase"},
      {1, "/state/best_of_phase/0/epoch", 2, "a best epoch is of none that was"},
      {2, "/state/best_of_phase/0/epoch", 3, "a best epoch is of none that was"},
      {2, "/state/best_of_phase/1/phase", 1, "a best epoch is of none that was"},
      {1, "/state/best/dice", bits(kNan), "out of range"},
      {1, "/state/best/dice", bits(1.5), "out of range"},
      {1, "/state/best/dice", bits(-1), "out of range"},
      {1, "/state/best/score", bits(kInf), "out of range"},
      {1, "/state/best/score", bits(0.75), "not the best of its phase"},
      {2, "/state/best_of_phase/0/score", bits(0.875), "not the best of its phase"},
      {1, "/state/best/weights", -7, "negative"},
      {1, "/state/metrics_rows", 2, "more rows"},
      {1, "/state/steps_rows", 9, "more rows"},
      {1, "/state/steps_rows", nullptr},
      {1, "/state", Json::array()},
      {1, "/options/epochs", 2},
      {1, "/options", 1},
      {1, "/data_hash", "a\nb", "data_hash"},
      {1, "/data_hash", nullptr},
      {1, "/machine", "\x1b[31m", "machine"},
      {1, "/machine", std::string(5000, 'x'), "machine"},
      {1, "/plans", "{}"},
      {1, "/plans", 1},
      {1, "/version", 0, "version is 0"},
      {1, "/version", -1},
      {1, "/version", "2"},
  };
  for (const auto& [phase, field, value, says] : cases) {
    Json record = Json::parse(record_in(phase));
    record[Json::json_pointer(field)] = value;
    const std::string error = error_of([&] { parse_record(record.dump()); });
    const std::string where = fmt::format("{} = {} in phase {}: {}", field, value.dump().substr(0, 80), phase, error);
    EXPECT_TRUE(error.starts_with("the record of the run is damaged: ")) << where;
    EXPECT_NE(error.find(says), std::string::npos) << where;
    EXPECT_EQ(error.find('\x1b'), std::string::npos) << where;
    EXPECT_LT(error.size(), 400u) << where;
  }
}

TEST(RunRecord, AFieldThatIsMissingIsNamed) {
  for (const int phase : {1, 2}) {
    const Json whole = Json::parse(record_in(phase));
    for (const auto& [name, value] : whole.at("state").items()) {
      Json record = whole;
      record["state"].erase(name);
      EXPECT_NE(error_of([&] { parse_record(record.dump()); }).find(name), std::string::npos) << name;
    }
    for (const auto& [name, value] : whole.items()) {
      Json record = whole;
      record.erase(name);
      EXPECT_NE(error_of([&] { parse_record(record.dump()); }).find(name), std::string::npos) << name;
    }
  }
}

TEST(RunRecord, EveryPhaseBeforeHadAnEpochAndABest) {
  Json record = Json::parse(record_in(2));  // three epochs, two of them of phase 1
  const Json first = record["state"]["best_of_phase"][0];
  record["state"]["phase"] = 4;
  record["state"]["best_of_phase"] = {first, nullptr, nullptr, record["state"]["best_of_phase"][1]};
  EXPECT_NE(error_of([&] { parse_record(record.dump()); }).find("numbers of epochs"), std::string::npos);
  record["state"]["all_epochs"] = 4;
  EXPECT_NE(error_of([&] { parse_record(record.dump()); }).find("a best epoch is missing"), std::string::npos);
}

TEST(RunRecord, OfATimeWithoutTheChoiceDecayedAll) {
  const auto options = [](const char* weight_decay, const char* decay_all) {
    RunRecord record;
    record.options = {{"weight-decay", weight_decay}};
    if (decay_all != nullptr) record.options["decay-all"] = decay_all;
    return record;
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(differences(options("0.1", nullptr), options("0.1", "true"), {}), Lines());
  EXPECT_EQ(differences(options("0.1", nullptr), options("0.1", "false"), {}), Lines{"--decay-all was true, is false"});
  EXPECT_EQ(differences(options("0", nullptr), options("0", "false"), {}), Lines()) << "nothing is decayed either way";
}

TEST(RunRecord, OfATimeBeforeAnOptionDidWhatItsDefaultDoes) {
  RunRecord then, now;
  for (const auto& [name, value] : resolved(TrainOptions())) then.options[name] = now.options[name] = value;
  for (const char* later :
       {"class-weights", "ignore-index", "freeze-encoder", "encoder-lr-scale", "normalization", "patience", "ema",
        "optimizer", "momentum", "nesterov", "preset", "crop", "crops-per-image"}) {
    EXPECT_EQ(then.options.erase(later), 1u) << later;
  }
  EXPECT_EQ(differences(then, now, harmless_options()), std::vector<std::string>());
  now.options["class-weights"] = "inverse";
  now.options["freeze-encoder"] = "3";
  EXPECT_EQ(differences(then, now, harmless_options()),
            (std::vector<std::string>{"--class-weights was none, is inverse", "--freeze-encoder was 0, is 3"}));
}

}  // namespace
}  // namespace unet::tests::run_record_test
