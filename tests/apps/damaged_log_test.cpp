// metrics.csv and steps.csv in the hands of other programs: a run never dies for its log, and no row is lost in
// silence.
#include <signal.h>

#include <chrono>
#include <functional>
#include <thread>

#include "engine/io/csv.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::damaged_log_test {
namespace {

using Damage = std::pair<std::string, std::function<void(const fs::path&)>>;

void edit(const fs::path& path, const std::function<std::string(std::string)>& change) {
  write_text(path, change(text_of(path)));
}
std::string with(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

class DamagedLog : public TinyTraining {
 protected:
  const Words options_{"--save-every", "0", "-e", "2", "--phase2-epochs", "1"};
  const fs::path output_ = folder_ / "run";
  const std::vector<Damage> damages_{
      {"CR LF", [](const fs::path& p) { edit(p, [](auto text) { return with(text, "\n", "\r\n"); }); }},
      {"semicolons", [](const fs::path& p) { edit(p, [](auto text) { return with(text, ",", ";"); }); }},
      {"an extra cell", [](const fs::path& p) { edit(p, [](auto text) { return with(text, "\n1,1,", "\n1,1,,"); }); }},
      {"shorter", [](const fs::path& p) { fs::resize_file(p, fs::file_size(p) - 3); }},
      {"empty", [](const fs::path& p) { fs::resize_file(p, 0); }},
      {"deleted", [](const fs::path& p) { fs::remove(p); }},
      {"another file", [](const fs::path& p) {
         write_text(p.string() + "~", "a,b\n1,2\n");
         fs::rename(p.string() + "~", p);
       }}};
};

TEST_F(DamagedLog, AResumeIsRefusedAndForceBeginsItAnew) {
  const fs::path half = folder_ / "half";
  ASSERT_EQ(run_into({"signal 15", "write", "steps.csv", 9}, command(half, options_), folder_.path()).code, 143);
  for (const std::string name : {"steps.csv", "metrics.csv"}) {
    for (const auto& [what, damage] : damages_) {
      if (name == "metrics.csv" && what != "an extra cell" && what != "deleted") continue;  // the same code
      fs::remove_all(output_);
      fs::copy(half, output_);
      damage(output_ / name);
      const std::string left = fs::exists(output_ / name) ? text_of(output_ / name) : "";
      const ProgramResult refused = run(command(output_, options_ + Words{"--resume", "auto"}));
      EXPECT_EQ(refused.code, 1) << what;
      expect_parts(refused.err, {(output_ / name).string(), "--force"});
      EXPECT_EQ(fs::exists(output_ / name) ? text_of(output_ / name) : "", left) << what;
      if (name != "steps.csv") {
        EXPECT_EQ(text_of(output_ / "steps.csv"), text_of(half / "steps.csv")) << "the other is not cut either";
      }

      const ProgramResult forced = run(command(output_, options_ + Words{"--resume", "auto", "--force"}));
      EXPECT_EQ(forced.code, 0) << what << forced.err;
      expect_parts(forced.err, {"train_unet: warning: ", (output_ / name).string(), "begun anew"});
      EXPECT_EQ(fs::exists(output_ / (name + ".damaged-1")), what != "deleted") << what;
      if (what != "deleted") {
        EXPECT_EQ(text_of(output_ / (name + ".damaged-1")), left) << what;
      }
      // The rest of the run is in it, and it can be resumed as any.
      const std::string whole = text_of(alone(options_) / "steps.csv"), rest = text_of(output_ / "steps.csv");
      if (name == "steps.csv") {
        EXPECT_TRUE(whole.ends_with(rest.substr(rest.find('\n')))) << rest;
      }
      EXPECT_TRUE(tensors_of(output_ / "last.safetensors") == tensors_of(alone(options_) / "last.safetensors"));
      const ProgramResult again = run(command(output_, options_ + Words{"--resume", "auto"}));
      EXPECT_EQ(again.code, 0) << again.err;
      EXPECT_EQ(again.err, "");
    }
  }
}

TEST_F(DamagedLog, WhileARunWritesItCostsNoRow) {
  for (const std::string name : {"steps.csv", "metrics.csv"}) {
    for (const auto& [what, damage] : damages_) {
      if (name == "metrics.csv" && what != "an extra cell" && what != "deleted") continue;  // the same code
      fs::remove_all(output_);
      const fs::path said = folder_ / "said";
      // It waits before the 8th row of its steps, in the second epoch.
      const Fault stop{fmt::format("signal {}", SIGSTOP), "write", "steps.csv", 9};
      BackgroundProgram training(with_fault(stop, command(output_, options_), folder_.path()), said);
      while (!training.ended() &&
             (!fs::exists(output_ / "steps.csv") || lines_of(text_of(output_ / "steps.csv")).size() < 8)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // its last save
      damage(output_ / name);
      while (!training.ended()) {  // it may not have stopped yet
        training.send(SIGCONT);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      EXPECT_EQ(training.wait(), 0) << what << text_of(said);
      const std::string out = text_of(said);
      expect_parts(out, {"train_unet: warning: ", (output_ / name).string(), "all rows are written anew"});
      EXPECT_EQ(out.find("warning"), out.rfind("warning")) << "told once";
      EXPECT_EQ(fs::exists(output_ / (name + ".damaged-1")), what != "deleted") << what;
      fs::remove(output_ / (name + ".damaged-1"));
      expect_as_alone(output_, options_);
      EXPECT_EQ(run(command(output_, options_ + Words{"--resume", "auto"})).code, 0) << what;
    }
  }
}

}  // namespace
}  // namespace unet::test::damaged_log_test
