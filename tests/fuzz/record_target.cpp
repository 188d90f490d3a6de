#include <algorithm>

#include "apps/run/run_files.h"
#include "apps/run/run_state.h"
#include "tests/fuzz/targets.h"

namespace unet::fuzz {

void fuzz_record(Bytes bytes) {
  std::optional<RunRecord> record;
  if (!accepted([&] { record = parse_record(std::string(bytes.begin(), bytes.end())); }) || !record) return;
  const RunState& s = record->state;
  require(is_timestamp(s.started), "the time of the start is one");
  require(s.phase >= 1 && s.best_of_phase.size() == static_cast<std::size_t>(s.phase), "phases have been begun");
  require(s.epoch >= 1 && s.batch >= 0 && s.step >= 0 && s.step <= s.all_steps, "counters are in range");
  require(s.dropped >= 0 && s.dropped < kMostDroppedSteps, "a run is given up after so many dropped steps");
  require(s.phase == 1 || s.best_of_phase.at(s.best_of_phase.size() - 2), "a phase has something to begin with");
  require(s.best.has_value() == (s.all_epochs > 0), "there is a best epoch once there is one");
  std::vector<std::optional<Best>> bests = s.best_of_phase;
  bests.push_back(s.best);
  const std::string run = run_name("unet", s.started);
  for (const std::optional<Best>& best : bests) {
    if (!best) continue;
    const std::string name = epoch_file_name(run, best->phase, static_cast<int>(best->epoch), best->dice);
    require(is_epoch_file(name, run), "the names of its files are those of a run");
    require(best->phase <= s.phase && best->epoch >= 1 && best->epoch <= s.all_epochs, "a best epoch is one that was");
  }
  const std::string text = to_text(*record);
  std::optional<RunRecord> again;
  require(accepted([&] { again = parse_record(text); }) && again && to_text(*again) == text,
          "a record is the same when written and read again");
  const auto is_control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; };
  RunRecord other;
  other.options = {{"epochs", "9"}, {"seed", "1"}, {"phase", "loss=dice, epochs=3, lr=1"}};
  for (const std::string& line : differences(*record, other, {"data"})) {
    require(std::none_of(line.begin(), line.end(), is_control), "a difference is safe to print");
  }
}

}  // namespace unet::fuzz
