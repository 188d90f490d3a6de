// What --resume goes on from, what it refuses, and what it leaves alone.
#include <nlohmann/json.hpp>

#include "tests/apps/checkpoint_edit.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::resume_rules_test {
namespace {

class ResumeRules : public TinyTraining {
 protected:
  /// A run that ended in the middle of its second epoch.
  fs::path half_run(const Words& more = {}) {
    const fs::path output = folder_ / "half";
    fs::remove_all(output);
    const ProgramResult ended = run_into({"signal 15", "write", "steps.csv", 9}, command(output, more), folder_.path());
    EXPECT_EQ(ended.code, 143) << ended.err;
    return output;
  }
  ProgramResult resume(const fs::path& output, const Words& more = {}, const std::string& from = "auto") const {
    return run(command(output, more + Words{"--resume", from}));
  }
};

/// Every file below a folder: bytes, inode and time of the last change.
std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const std::string& name : names_in(folder)) {
    struct stat status {};
    ::stat((folder / name).c_str(), &status);
    out[name] =
        fmt::format("{} {}.{} ", status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec) + text_of(folder / name);
  }
  return out;
}

TEST_F(ResumeRules, AFinishedRunIsLeftAsItIs) {
  for (const Words& more : {Words{}, Words{"--phase2-epochs", "0"}, Words{"--max-steps", "7"}}) {
    const fs::path output = alone(more);
    const auto before = snapshot(output);
    const ProgramResult again = resume(output, more);
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(again.err, "");
    EXPECT_TRUE(snapshot(output) == before) << "a file was touched";
  }
}

TEST_F(ResumeRules, NothingToResumeIsAnError) {
  const fs::path output = folder_ / "absent";
  const ProgramResult absent = resume(output);
  EXPECT_EQ(absent.code, 1);
  expect_parts(absent.err, {"nothing to resume", output.string(), "leave --resume out"});
  EXPECT_FALSE(fs::exists(output)) << "it must not begin a run instead";
  const ProgramResult file = resume(output, {}, (folder_ / "gone.safetensors").string());
  EXPECT_EQ(file.code, 1);
  expect_parts(file.err, {(folder_ / "gone.safetensors").string(), "No such file"});
}

TEST_F(ResumeRules, WeightsAloneAreNoRun) {
  const fs::path best = alone() / "best.safetensors";
  const ProgramResult weights = resume(alone(), {}, best.string());
  EXPECT_EQ(weights.code, 1);
  expect_parts(weights.err, {best.string(), "no training to resume", "--init"});
}

TEST_F(ResumeRules, ADamagedStateGivesWayToTheOneBefore) {
  const fs::path whole = half_run({"--save-every", "0"});
  for (const std::uintmax_t bytes : {0, 7, 100, 5000}) {
    const fs::path output = folder_ / fmt::format("cut{}", bytes);
    fs::copy(whole, output);
    fs::resize_file(output / "last.safetensors", bytes);
    const ProgramResult result = resume(output, {"--save-every", "0"});
    EXPECT_EQ(result.code, 0) << result.err;
    expect_parts(result.err, {"warning", (output / "last.safetensors").string(), "going on from",
                              (output / "last.prev.safetensors").string()});
    expect_as_alone(output, {"--save-every", "0"});
  }
}

TEST_F(ResumeRules, AMissingStateGivesWayWithAWarning) {
  const fs::path output = half_run({"--save-every", "0"});
  fs::remove(output / "last.safetensors");
  const ProgramResult result = resume(output, {"--save-every", "0"});
  EXPECT_EQ(result.code, 0) << result.err;
  expect_parts(result.err, {"warning", "last.safetensors is not there", "last.prev.safetensors"});
  expect_as_alone(output, {"--save-every", "0"});
}

TEST_F(ResumeRules, TwoDamagedStatesAreAnError) {
  const fs::path output = half_run({"--save-every", "0"});
  for (const char* name : {"last.safetensors", "last.prev.safetensors"}) fs::resize_file(output / name, 100);
  const auto before = snapshot(output);
  const ProgramResult result = resume(output, {"--save-every", "0"});
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"nothing to resume", "last.safetensors", "last.prev.safetensors", "cut short"});
  EXPECT_TRUE(snapshot(output) == before);
}

TEST_F(ResumeRules, ANamedStateIsTaken) {
  const fs::path output = half_run({"--save-every", "0"});
  const ProgramResult named = resume(output, {"--save-every", "0"}, (output / "last.prev.safetensors").string());
  EXPECT_EQ(named.code, 0) << named.err;
  expect_as_alone(output, {"--save-every", "0"});
}

TEST_F(ResumeRules, ANameWithoutAFolderIsInTheCurrentOne) {
  const fs::path output = half_run();
  const ProgramResult named =
      run(command("elsewhere", {"--resume", "last.safetensors"}), {}, output);  // its folder goes before --output
  EXPECT_EQ(named.code, 0) << named.err;
  EXPECT_FALSE(fs::exists(output / "elsewhere"));
  expect_as_alone(output);
}

TEST_F(ResumeRules, OtherOptionsAreNamedAndRefused) {
  const fs::path output = half_run();
  const auto before = snapshot(output);
  for (const auto& [words, says] : std::vector<std::pair<Words, std::string>>{
           {{"--seed", "7"}, "--seed was 0, is 7"},
           {{"--lr", "0.02"}, "--lr was 0.01, is 0.02"},
           {{"-b", "3"}, "--batch-size was 2, is 3"},
           {{"--accumulate", "2"}, "--accumulate was 1, is 2"},
           {{"--schedule", "constant"}, "--schedule was cosine, is constant"},
           {{"--augment", "none"}, "--augment was standard, is none"},
           {{"--image-size", "48"}, "--image-size was 32, is 48"},
           {{"--base-channels", "4"}, "--base-channels was 2, is 4"},
           {{"--bilinear"}, "--bilinear was false, is true"},
           {{"--clip-norm", "1"}, "--clip-norm was off, is 1"},
           {{"--weight-decay", "0.1"}, "--weight-decay was 0, is 0.1"},
           {{"--weight-decay", "0.1", "--decay-all"}, "--decay-all was false, is true"},
           {{"--phase2-loss", "cross_entropy"}, "--phase2-loss was dice, is cross_entropy"},
           {{"--border", "ignore"}, "--border was foreground, is ignore"},
           {{"--exif", "ignore"}, "--exif was apply, is ignore"},
           {{"--on-corrupt", "skip"}, "--on-corrupt was stop, is skip"},
           {{"--max-steps", "20"}, "--max-steps was none, is 20"},
           {{"--conv", "direct"}, "--conv was auto, is direct"},
           {{"-e", "2"}, "--epochs was 3, is 2"},
           {{"--phase2-epochs", "1"}, "--phase2-epochs was 2, is 1"},
           {{"--threads", "2"}, "the machine was"},
           {{"--no-shuffle"}, "--no-shuffle was false, is true"}}) {
    const ProgramResult result = resume(output, words);
    EXPECT_EQ(result.code, 1) << says;
    expect_parts(result.err, {"cannot be resumed", says, "--force"});
  }
  EXPECT_TRUE(snapshot(output) == before) << "a refusal changes nothing";
  const ProgramResult both = resume(output, {"--seed", "7", "--lr", "0.02"});
  expect_parts(both.err, {"--seed was 0, is 7", "--lr was 0.01, is 0.02"});
}

TEST_F(ResumeRules, OtherDataAreRefused) {
  const fs::path output = half_run();
  write_small_pets(data_, 13, 1);
  const ProgramResult longer = resume(output);
  EXPECT_EQ(longer.code, 1);
  expect_parts(longer.err, {"the list of images is another one", "--force"});
  write_small_pets(data_, 12, 1);
  EXPECT_EQ(resume(output).code, 0) << "the same data again";
}

TEST_F(ResumeRules, OtherMasksOfTheSameSizeAreRefused) {
  const fs::path output = half_run();
  for (int i = 0; i < 12; ++i) {
    const fs::path path = data_ / "annotations" / "trimaps" / fmt::format("p{:03}.png", i);
    const std::uintmax_t bytes = fs::file_size(path);
    Image mask = load_mask(path);
    for (std::uint8_t& value : mask.pixels) value = value == 1 ? 2 : value == 2 ? 1 : value;
    write_bytes(path, encode_png(mask));
    if (fs::file_size(path) != bytes) fs::resize_file(path, bytes);  // a byte less or more after the end is no matter
  }
  const ProgramResult result = resume(output);
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"cannot be resumed", "a mask differs", "--force"});
}

TEST_F(ResumeRules, ForceGoesOnWithAWarning) {
  const fs::path output = half_run();
  const ProgramResult forced = resume(output, {"--lr", "0.02", "--force"});
  EXPECT_EQ(forced.code, 0) << forced.err;
  expect_parts(forced.err, {"warning", "--lr was 0.01, is 0.02"});
  const std::vector<std::string> steps = lines_of(text_of(output / "steps.csv"));
  const std::vector<std::string> expected = lines_of(text_of(alone() / "steps.csv"));
  ASSERT_EQ(steps.size(), expected.size());
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(steps[i], expected[i]) << "before the resume";
  EXPECT_NE(steps[9], expected[9]) << "the new rate is in force";
}

TEST_F(ResumeRules, HarmlessOptionsMayDiffer) {
  const fs::path output = half_run(), moved = folder_ / "moved";
  fs::rename(output, moved);
  fs::rename(data_, folder_ / "pets2");
  data_ = folder_ / "pets2";
  const ProgramResult result =
      resume(moved, {"-j", "2", "--cache-mb", "0", "--keep", "1", "--save-every", "0", "--quiet"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(text_of(moved / "steps.csv"), text_of(alone() / "steps.csv"));
}

/// The rates of a run's steps, in order.
std::vector<std::string> rates_of(const fs::path& output) {
  std::vector<std::string> out;
  for (const std::string& line : lines_of(text_of(output / "steps.csv"))) {
    const std::size_t last = line.rfind(','), before = line.rfind(',', last - 1);
    out.push_back(line.substr(before + 1, last - before - 1));
  }
  out.erase(out.begin());
  return out;
}

TEST_F(ResumeRules, MoreEpochsGoOnAlongTheLongerSchedule) {
  const Words short_run{"-e", "2", "--phase2-epochs", "0"}, long_one{"-e", "4", "--phase2-epochs", "0"};
  const fs::path output = folder_ / "more";
  fs::copy(alone(short_run), output);
  const ProgramResult result = resume(output, long_one);
  ASSERT_EQ(result.code, 0) << result.err;
  const std::vector<std::string> before = rates_of(alone(short_run)), all = rates_of(alone(long_one)),
                                 now = rates_of(output);
  ASSERT_EQ(before.size(), 10u);
  ASSERT_EQ(now.size(), 20u);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(now[i], before[i]) << "step " << i;
  for (std::size_t i = 10; i < 20; ++i) EXPECT_EQ(now[i], all[i]) << "step " << i;
  // With a rate that does not depend on the length, the run is the one that was long from the start.
  const Words constant{"--schedule", "constant"};
  fs::copy(alone(short_run + constant), folder_ / "constant");
  ASSERT_EQ(resume(folder_ / "constant", long_one + constant).code, 0);
  EXPECT_EQ(text_of(folder_ / "constant" / "steps.csv"), text_of(alone(long_one + constant) / "steps.csv"));
  EXPECT_TRUE(text_of(folder_ / "constant" / "best.safetensors") ==
              text_of(alone(long_one + constant) / "best.safetensors"));
}

TEST_F(ResumeRules, MoreEpochsOfTheLastPhaseButNotOfOneThatIsOver) {
  const fs::path output = folder_ / "more";
  fs::copy(alone(), output);
  const ProgramResult second = resume(output, {"--phase2-epochs", "3"});
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(lines_of(text_of(output / "steps.csv")).size(), 1u + 5 * (3 + 3));
  const ProgramResult first = resume(output, {"-e", "4", "--phase2-epochs", "3"});
  EXPECT_EQ(first.code, 1);
  expect_parts(first.err, {"--epochs was 3, is 4"});
}

TEST_F(ResumeRules, ADamagedRecordIsNamed) {
  const fs::path output = half_run();
  for (const auto& [key, value, says] :
       std::vector<std::tuple<std::string, nlohmann::json, std::string>>{{"/version", 0, "version is 0"},
                                                                         {"/state/phase", 100, "out of range"},
                                                                         {"/state/batch", -1, "out of range"},
                                                                         {"/state/step", "many", "damaged"},
                                                                         {"/options", 1, "damaged"}}) {
    const fs::path other = folder_ / "record.safetensors";
    write_with_record(output / "last.safetensors", other,
                      [&](nlohmann::json& record) { record[nlohmann::json::json_pointer(key)] = value; });
    const ProgramResult result = resume(output, {}, other.string());
    EXPECT_EQ(result.code, 1) << key;
    expect_parts(result.err, {other.string(), "the record of the run is damaged", says});
  }
}

TEST_F(ResumeRules, ARunOfAnotherDefinitionOfItsFiguresIsRefused) {
  const fs::path output = half_run();
  write_with_record(output / "last.safetensors", folder_ / "old.safetensors",
                    [](nlohmann::json& record) { record["version"] = 1; });
  const ProgramResult result = resume(output, {}, (folder_ / "old.safetensors").string());
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"another version", "--init"});
}

TEST_F(ResumeRules, MoreStepsOrNoLimitGoOn) {
  const fs::path output = folder_ / "limited";
  ASSERT_EQ(run(command(output, {"--max-steps", "3"})).code, 0);
  EXPECT_EQ(run(command(output, {"--max-steps", "2", "--resume", "auto"})).code, 1);
  ASSERT_EQ(run(command(output, {"--max-steps", "8", "--resume", "auto"})).code, 0);
  EXPECT_EQ(lines_of(text_of(output / "steps.csv")).size(), 1u + 8u);
  ASSERT_EQ(run(command(output, {"--resume", "auto"})).code, 0);
  EXPECT_TRUE(fs::exists(output / "best_phase2.safetensors"));
}

TEST_F(ResumeRules, ARunIsNotOverwrittenUnasked) {
  const auto before = snapshot(alone());
  const ProgramResult again = run(command(alone()));
  EXPECT_EQ(again.code, 1);
  expect_parts(again.err, {"holds a run already", "--resume auto", "--overwrite"});
  EXPECT_TRUE(snapshot(alone()) == before);
}

}  // namespace
}  // namespace unet::test::resume_rules_test
