#include "apps/run/run_state.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/run/run_files.h"
#include "engine/core/error.h"
#include "engine/ops/plan_file.h"

namespace unet {
namespace {

using Json = nlohmann::ordered_json;

// Of a real record a few KB; JSON takes up to a hundred times its text's memory.
// 2: classes that are nowhere in an image have no score (1 counted them as found), and passes weigh by their images.
constexpr int kRecordVersion = 2;
constexpr std::size_t kLongestRecord = std::size_t{1} << 20;

// Far above what any run reaches, far below where counting on overflows.
constexpr std::uint64_t kMost = 1'000'000'000'000'000;
constexpr std::uint64_t kMostEpochs = std::numeric_limits<int>::max();

// As bits: JSON has no NaN and no infinity, which a sum over dropped steps may be.
std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

/// Whole and not negative: a fraction could be beyond any integer, which no conversion may meet.
std::uint64_t whole(const Json& json, const char* name) {
  if (!json.is_number_integer()) throw Error("\"{}\" is no whole number", name);
  if (!json.is_number_unsigned()) throw Error("\"{}\" is out of range: it is negative", name);
  return json.get<std::uint64_t>();
}

std::int64_t within(const Json& json, const char* name, std::uint64_t least = 0, std::uint64_t most = kMost) {
  const std::uint64_t value = whole(json, name);
  if (value < least || value > most) throw Error("\"{}\" is out of range: {}, not {} to {}", name, value, least, most);
  return static_cast<std::int64_t>(value);
}

std::int64_t counter(const Json& json, const char* name, std::uint64_t least = 0, std::uint64_t most = kMost) {
  return within(json.at(name), name, least, most);
}

double number(const Json& json, const char* name) { return std::bit_cast<double>(whole(json, name)); }

double share(const Json& json, const char* name, double least = 0) {
  const double value = number(json, name);
  if (!(value >= least && value <= 1)) throw Error("\"{}\" is out of range: {}, not {} to 1", name, value, least);
  return value;
}

/// Text that this program writes itself: short, and fit for a terminal.
std::string plain_text(const Json& json, const char* name) {
  const std::string text = json.at(name).get<std::string>();
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (text.size() > 4096 || std::any_of(text.begin(), text.end(), is_control)) {
    throw Error("\"{}\" is no text that a run writes", name);
  }
  return text;
}

Json to_json(const std::optional<Best>& best) {
  if (!best) return nullptr;
  return {{"score", bits(best->score)},
          {"dice", bits(best->dice)},
          {"phase", best->phase},
          {"epoch", best->epoch},
          {"weights", best->weights}};
}

std::optional<Best> best_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return Best{share(json.at("score"), "score"), share(json.at("dice"), "dice"),
              static_cast<int>(counter(json, "phase", 1, kMostPhases)), counter(json, "epoch", 1, kMostEpochs),
              json.contains("weights") ? whole(json.at("weights"), "weights") : 0};
}

Json to_json(const RunState& s) {
  Json of_phases = Json::array();
  for (const std::optional<Best>& best : s.best_of_phase) of_phases.push_back(to_json(best));
  return {{"started", s.started},
          {"phase", s.phase},
          {"epoch", s.epoch},
          {"batch", s.batch},
          {"step", s.step},
          {"all_steps", s.all_steps},
          {"all_epochs", s.all_epochs},
          {"dropped", s.dropped},
          {"loss_sum", bits(s.loss_sum)},
          {"images", s.images},
          {"plateau", {bits(s.plateau.fraction), bits(s.plateau.best), s.plateau.bad_epochs}},
          {"best", to_json(s.best)},
          {"best_of_phase", of_phases},
          {"metrics_rows", s.metrics_rows},
          {"steps_rows", s.steps_rows}};
}

void require(bool holds, const char* fault) {
  if (!holds) throw Error("{}", fault);
}

void require_consistent(const RunState& s) {
  const std::int64_t done = s.epoch - 1;            // epochs of the phase under way
  const std::int64_t before = s.all_epochs - done;  // of the phases before, one each at least
  require(s.phase == 1 ? before == 0 : before >= s.phase - 1, "the numbers of epochs do not fit each other");
  require(s.step <= s.all_steps && s.dropped <= s.step, "the numbers of steps do not fit each other");
  require(s.batch <= s.images && (s.batch > 0) == (s.images > 0), "batches and images do not fit each other");
  require(s.metrics_rows <= static_cast<std::uint64_t>(s.all_epochs) &&
              s.steps_rows <= static_cast<std::uint64_t>(s.all_steps),
          "there are more rows than epochs or steps");
  const auto phases = static_cast<std::size_t>(s.phase);
  require(s.best_of_phase.size() == phases, "the best epochs are not one for each phase that has been begun");
  double score = -1;
  for (std::size_t i = 0; i < phases; ++i) {
    const std::optional<Best>& best = s.best_of_phase[i];
    const std::int64_t most = i + 1 == phases ? done : before - (s.phase - 2);
    require(best.has_value() == (most > 0),
            best ? "a best epoch is of a phase without any" : "a best epoch is missing");
    if (!best) continue;
    require(best->phase == static_cast<int>(i) + 1 && best->epoch <= most, "a best epoch is of none that was");
    score = std::max(score, best->score);
  }
  require(s.best.has_value() == (s.all_epochs > 0), "a best epoch is missing");
  if (!s.best) return;
  require(s.best->phase <= s.phase, "the best epoch is of no phase that was");
  const std::optional<Best>& same = s.best_of_phase[static_cast<std::size_t>(s.best->phase - 1)];
  require(same && s.best->score == score && s.best->score == same->score && s.best->dice == same->dice &&
              s.best->epoch == same->epoch,
          "the best epoch is not the best of its phase");
}

RunState state_of(const Json& json) {
  RunState s;
  s.started = json.at("started").get<std::string>();
  if (!is_timestamp(s.started)) throw Error("\"started\" is \"{}\", no YYYYMMDDTHHMMSSZ", s.started);
  s.phase = static_cast<int>(counter(json, "phase", 1, kMostPhases));
  s.epoch = counter(json, "epoch", 1, kMostEpochs);
  s.batch = counter(json, "batch");
  s.step = counter(json, "step");
  s.all_steps = counter(json, "all_steps");
  s.all_epochs = counter(json, "all_epochs");
  s.dropped = static_cast<int>(counter(json, "dropped", 0, kMostDroppedSteps - 1));
  s.loss_sum = number(json.at("loss_sum"), "loss_sum");
  s.images = counter(json, "images");
  const Json& plateau = json.at("plateau");
  s.plateau = {share(plateau.at(0), "plateau"), share(plateau.at(1), "plateau", -1), within(plateau.at(2), "plateau")};
  s.best = best_of(json.at("best"));
  s.best_of_phase.clear();
  for (const Json& best : json.at("best_of_phase")) s.best_of_phase.push_back(best_of(best));
  // Earlier versions knew two phases, begun or not.
  if (s.best_of_phase.size() == 2 && s.phase == 1 && !s.best_of_phase[1]) s.best_of_phase.pop_back();
  s.metrics_rows = static_cast<std::uint64_t>(counter(json, "metrics_rows"));
  s.steps_rows = static_cast<std::uint64_t>(counter(json, "steps_rows"));
  require_consistent(s);
  return s;
}

}  // namespace

std::string to_text(const RunRecord& record) {
  Json json;
  json["version"] = kRecordVersion;
  json["state"] = to_json(record.state);
  json["options"] = record.options;
  json["data_hash"] = record.data_hash;
  json["machine"] = record.machine;
  if (!record.plans.empty()) json["plans"] = plans_text(record.plans);
  return json.dump();
}

std::optional<RunRecord> parse_record(const std::string& text) {
  try {
    if (text.size() > kLongestRecord) throw Error("it has {} bytes", text.size());
    const Json json = Json::parse(text);
    if (const std::int64_t version = counter(json, "version"); version != kRecordVersion) {
      if (version < 1) throw Error("its version is {}", version);
      return std::nullopt;
    }
    RunRecord record;
    record.state = state_of(json.at("state"));
    record.options = json.at("options").get<std::map<std::string, std::string>>();
    record.data_hash = plain_text(json, "data_hash");
    record.machine = plain_text(json, "machine");
    if (json.contains("plans")) record.plans = parse_plans(json.at("plans").get<std::string>(), "plans");
    return record;
  } catch (const std::exception& error) {
    throw Error("the record of the run is damaged: {}", printable(error.what()));
  }
}

RunRecord run_record(const SafetensorsFile& file) {
  const auto found = file.metadata().find(kRunRecordKey);
  if (found == file.metadata().end()) {
    throw Error("{}: holds weights but no training to resume; give it to --init instead", file.path().string());
  }
  std::optional<RunRecord> record;
  try {
    record = parse_record(found->second);
  } catch (const Error& error) {
    throw Error("{}: {}", file.path().string(), error.what());
  }
  if (record) return *std::move(record);
  throw Error(
      "{}: the run was begun by another version of train_unet, whose figures are defined otherwise; a run must not mix "
      "two. Begin a new one from its weights with --init",
      file.path().string());
}

std::vector<std::string> differences(const RunRecord& then, const RunRecord& now,
                                     const std::set<std::string>& harmless) {
  const auto value_of = [](const RunRecord& record, const std::string& name) {
    const auto found = record.options.find(name);
    if (found != record.options.end()) return found->second;
    // What was done before there was a choice.
    static const std::map<std::string, std::string> before{
        {"decay-all", "true"},   {"normalization", "imagenet"}, {"class-weights", "none"}, {"ignore-index", "255"},
        {"freeze-encoder", "0"}, {"encoder-lr-scale", "1"},     {"patience", "off"},       {"ema", "off"},
        {"optimizer", "adam"},   {"momentum", "0.9"},           {"nesterov", "false"},     {"crop", "none"},
        {"crops-per-image", "1"}};
    const auto was = before.find(name);
    return was != before.end() ? was->second : std::string("not there");
  };
  const auto more = [](const std::string& before, const std::string& value) {
    const std::optional<std::int64_t> least = plain_number(before);
    return least && plain_number(value) > least;
  };
  std::set<std::string> names;
  for (const RunRecord* record : {&then, &now}) {
    for (const auto& [name, value] : record->options) names.insert(name);
  }
  std::vector<std::string> out;
  for (const std::string& name : names) {
    const std::string before = value_of(then, name), value = value_of(now, name);
    if (before == value || harmless.contains(name)) continue;
    if (name == "decay-all" && value_of(now, "weight-decay") == "0") continue;
    const int phase = name == "epochs" ? 1 : name == "phase2-epochs" ? 2 : 0;
    // More epochs of a phase that is not over, or is the last, are fine.
    if (phase >= then.state.phase && more(before, value)) continue;
    if (name == "phase" && may_become(before, value, then.state.phase)) continue;
    if (name == "max-steps" && plain_number(before) && (value == "none" || more(before, value))) continue;
    const bool grown = (phase > 0 && more(before, value)) || name == "phase";
    out.push_back(fmt::format("--{} was {}, is {}{}", printable(name), before.empty() ? "empty" : printable(before),
                              value.empty() ? "empty" : printable(value),
                              grown ? " (only phases that are not over, or the last, may take more epochs; to train on "
                                      "from these weights begin a run with --init)"
                                    : ""));
  }
  if (then.data_hash != now.data_hash)
    out.push_back("the list of images is another one, a mask differs, or a photograph's file has another size");
  if (then.machine != now.machine) out.push_back(fmt::format("the machine was {}, is {}", then.machine, now.machine));
  return out;
}

}  // namespace unet
