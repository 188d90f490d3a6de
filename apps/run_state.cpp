#include "apps/run_state.h"

#include <bit>
#include <charconv>
#include <set>

#include "apps/version.h"
#include "engine/core/error.h"
#include "engine/core/plan_file.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

using Json = nlohmann::ordered_json;

// Of a real record a few KB; JSON takes up to a hundred times its text's memory.
// 2: classes that are nowhere in an image have no score (1 counted them as found), and passes weigh by their images.
constexpr int kRecordVersion = 2;
constexpr std::size_t kLongestRecord = std::size_t{1} << 20;

/// A fraction in the place of a counter could be beyond any integer, which no conversion may meet.
template <class T>
T whole(const Json& json) {
  if (!json.is_number_integer()) throw Error("a counter is no whole number");
  return json.get<T>();
}

// As bits: JSON has no NaN and no infinity, which a sum over dropped steps may be.
std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }
double from_bits(const Json& json) { return std::bit_cast<double>(whole<std::uint64_t>(json)); }

Json to_json(const std::optional<Best>& best) {
  if (!best) return nullptr;
  return {{"score", bits(best->score)}, {"dice", bits(best->dice)}, {"phase", best->phase}, {"epoch", best->epoch}};
}

/// A number of epochs as options are recorded; nothing if it is none, as in a record from other hands.
std::optional<std::int64_t> count_of(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Best> best_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return Best{from_bits(json.at("score")), from_bits(json.at("dice")), whole<int>(json.at("phase")),
              whole<std::int64_t>(json.at("epoch"))};
}

Json to_json(const RunState& s) {
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
          {"best_of_phase", {to_json(s.best_of_phase[0]), to_json(s.best_of_phase[1])}},
          {"metrics_rows", s.metrics_rows},
          {"steps_rows", s.steps_rows}};
}

RunState state_of(const Json& json) {
  RunState s;
  s.started = json.at("started").get<std::string>();
  s.phase = whole<int>(json.at("phase"));
  s.epoch = whole<std::int64_t>(json.at("epoch"));
  s.batch = whole<std::int64_t>(json.at("batch"));
  s.step = whole<std::int64_t>(json.at("step"));
  s.all_steps = whole<std::int64_t>(json.at("all_steps"));
  s.all_epochs = whole<std::int64_t>(json.at("all_epochs"));
  s.dropped = whole<int>(json.at("dropped"));
  s.loss_sum = from_bits(json.at("loss_sum"));
  s.images = whole<std::int64_t>(json.at("images"));
  const Json& plateau = json.at("plateau");
  s.plateau = {from_bits(plateau.at(0)), from_bits(plateau.at(1)), whole<std::int64_t>(plateau.at(2))};
  s.best = best_of(json.at("best"));
  for (std::size_t i = 0; i < 2; ++i) s.best_of_phase[i] = best_of(json.at("best_of_phase").at(i));
  s.metrics_rows = whole<std::uint64_t>(json.at("metrics_rows"));
  s.steps_rows = whole<std::uint64_t>(json.at("steps_rows"));
  // Far above what any run reaches, far below where counting on overflows.
  const auto outside = [](auto... values) { return ((values < 0 || values > 1'000'000'000'000'000) || ...); };
  if (s.phase < 1 || s.phase > 2 || s.epoch < 1 || s.dropped < 0 ||
      outside(s.epoch, s.batch, s.step, s.all_steps, s.all_epochs, s.images)) {
    throw Error("a counter is out of range");
  }
  if ((s.phase > 1 && !s.best_of_phase[0]) || (s.all_epochs > 0 && !s.best)) throw Error("a best epoch is missing");
  return s;
}

/// Nothing if another version wrote it. Throws whatever fits if it is damaged.
std::optional<RunRecord> record_of(const std::string& text) {
  if (text.size() > kLongestRecord) throw Error("it has {} bytes", text.size());
  const Json json = Json::parse(text);
  const int version = whole<int>(json.at("version"));
  if (version < 1) throw Error("its version is {}", version);
  if (version != kRecordVersion) return std::nullopt;
  RunRecord record;
  record.state = state_of(json.at("state"));
  record.options = json.at("options").get<std::map<std::string, std::string>>();
  record.data_hash = json.at("data_hash").get<std::string>();
  record.machine = json.at("machine").get<std::string>();
  if (json.contains("plans")) record.plans = parse_plans(json.at("plans").get<std::string>(), "plans");
  return record;
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

RunRecord run_record(const SafetensorsFile& file) {
  const auto found = file.metadata().find(kRunRecordKey);
  if (found == file.metadata().end()) {
    throw Error("{}: holds weights but no training to resume; give it to --init instead", file.path().string());
  }
  std::optional<RunRecord> record;
  try {
    record = record_of(found->second);
  } catch (const std::exception& error) {
    throw Error("{}: the record of the run is damaged: {}", file.path().string(), printable(error.what()));
  }
  if (record) return *std::move(record);
  throw Error(
      "{}: the run was begun by another version of train_unet, whose figures are defined otherwise; a run must not mix "
      "two. Begin a new one from its weights with --init",
      file.path().string());
}

std::vector<std::string> differences(const RunRecord& then, const RunRecord& now) {
  static const std::set<std::string> harmless{"autotune", "plans", "workers", "cache-mb", "keep",      "output",
                                              "data",     "init",  "threads", "device",   "save-every"};
  std::vector<std::string> out;
  for (const auto& [name, value] : now.options) {
    const auto found = then.options.find(name);
    const std::string before = found == then.options.end() ? "not there" : found->second;
    if (before == value || harmless.contains(name)) continue;
    const int phase = name == "epochs" ? 1 : name == "phase2-epochs" ? 2 : 0;
    // More epochs of a phase that is not over, or is the last, are fine.
    if (phase >= then.state.phase && count_of(before) && count_of(value) > count_of(before)) continue;
    if (name == "max-steps" && count_of(before) && (value == "none" || count_of(value) > count_of(before))) continue;
    out.push_back(fmt::format("--{} was {}, is {}", name, before.empty() ? "empty" : before, value));
  }
  if (then.data_hash != now.data_hash)
    out.push_back("the list of images is another one, a mask differs, or a photograph's file has another size");
  if (then.machine != now.machine) out.push_back(fmt::format("the machine was {}, is {}", then.machine, now.machine));
  return out;
}

}  // namespace unet
