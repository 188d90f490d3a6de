#include "apps/run_state.h"

#include <bit>
#include <set>

#include "apps/version.h"
#include "engine/core/error.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

using Json = nlohmann::ordered_json;

// As bits: JSON has no NaN and no infinity, which a sum over dropped steps may be.
std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }
double from_bits(const Json& json) { return std::bit_cast<double>(json.get<std::uint64_t>()); }

Json to_json(const std::optional<Best>& best) {
  if (!best) return nullptr;
  return {{"dice", bits(best->dice)}, {"phase", best->phase}, {"epoch", best->epoch}};
}

std::optional<Best> best_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return Best{from_bits(json.at("dice")), json.at("phase").get<int>(), json.at("epoch").get<std::int64_t>()};
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
  s.phase = json.at("phase").get<int>();
  s.epoch = json.at("epoch").get<std::int64_t>();
  s.batch = json.at("batch").get<std::int64_t>();
  s.step = json.at("step").get<std::int64_t>();
  s.all_steps = json.at("all_steps").get<std::int64_t>();
  s.all_epochs = json.at("all_epochs").get<std::int64_t>();
  s.dropped = json.at("dropped").get<int>();
  s.loss_sum = from_bits(json.at("loss_sum"));
  s.images = json.at("images").get<std::int64_t>();
  const Json& plateau = json.at("plateau");
  s.plateau = {from_bits(plateau.at(0)), from_bits(plateau.at(1)), plateau.at(2).get<std::int64_t>()};
  s.best = best_of(json.at("best"));
  for (std::size_t i = 0; i < 2; ++i) s.best_of_phase[i] = best_of(json.at("best_of_phase").at(i));
  s.metrics_rows = json.at("metrics_rows").get<std::uint64_t>();
  s.steps_rows = json.at("steps_rows").get<std::uint64_t>();
  const auto negative = [](auto... values) { return ((values < 0) || ...); };
  if (s.phase < 1 || s.phase > 2 || s.epoch < 1 || negative(s.batch, s.step, s.all_steps, s.all_epochs, s.images)) {
    throw Error("a counter is out of range");
  }
  return s;
}

}  // namespace

std::string to_text(const RunRecord& record) {
  Json json;
  json["version"] = 1;
  json["state"] = to_json(record.state);
  json["options"] = record.options;
  json["data_hash"] = record.data_hash;
  json["machine"] = record.machine;
  return json.dump();
}

RunRecord run_record(const SafetensorsFile& file) {
  const auto found = file.metadata().find(kRunRecordKey);
  if (found == file.metadata().end()) {
    throw Error("{}: holds weights but no training to resume; give it to --init instead", file.path().string());
  }
  try {
    const Json json = Json::parse(found->second);
    if (json.at("version").get<int>() != 1) throw Error("its version is {}", json.at("version").dump());
    RunRecord record;
    record.state = state_of(json.at("state"));
    record.options = json.at("options").get<std::map<std::string, std::string>>();
    record.data_hash = json.at("data_hash").get<std::string>();
    record.machine = json.at("machine").get<std::string>();
    return record;
  } catch (const std::exception& error) {
    throw Error("{}: the record of the run is damaged: {}", file.path().string(), printable(error.what()));
  }
}

std::vector<std::string> differences(const RunRecord& then, const RunRecord& now) {
  static const std::set<std::string> harmless{"workers", "cache-mb", "keep",   "output",    "data",
                                              "init",    "threads",  "device", "save-every"};
  std::vector<std::string> out;
  for (const auto& [name, value] : now.options) {
    const auto found = then.options.find(name);
    const std::string before = found == then.options.end() ? "not there" : found->second;
    if (before == value || harmless.contains(name)) continue;
    const int phase = name == "epochs" ? 1 : name == "phase2-epochs" ? 2 : 0;
    if (phase > 0 && found != then.options.end() && std::stoll(value) > std::stoll(before)) {
      if (phase >= then.state.phase) continue;  // that phase is not over, or the last: more is fine
    }
    out.push_back(fmt::format("--{} was {}, is {}", name, before.empty() ? "empty" : before, value));
  }
  if (then.data_hash != now.data_hash) out.push_back("the list of images is another one, or a file's size has changed");
  if (then.machine != now.machine) out.push_back(fmt::format("the machine was {}, is {}", then.machine, now.machine));
  return out;
}

}  // namespace unet
