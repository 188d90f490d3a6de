// A run that was stopped or killed at a named point and goes on by --resume ends as the run left alone: the same
// steps.csv and the same weights, byte for byte.
#include "tests/apps/tiny_training.h"

namespace unet::test::resume_test {
namespace {

const Words kNothingCached{"--cache-mb", "0"};  // every validation reads its pictures again
const Words kSavedEachStep{"--save-every", "0"};
const Words kNoLinks{"env", "UNET_FAULT_LINKS=none"};

/// Where the run ends, and then each resumed one; the last of them is left alone.
struct Point {
  const char* name;
  Words options;
  std::vector<Fault> faults;
  int code = 137;          // of every end
  Words resume_with = {};  // options of the resumed runs alone
  Words settings = {};     // before the command of the runs that end
};

/// What ctest lists the case by.
void PrintTo(const Point& point, std::ostream* out) { *out << point.name; }

constexpr const char* kKill = "signal 9";
constexpr const char* kTear = "tear";
constexpr const char* kTerminate = "signal 15";
constexpr const char* kInterrupt = "signal 2";

// steps.csv takes a header and 5 rows in each of 3 + 2 epochs: its write 2 ends the first step, 7 the second epoch's
// first, 17 phase 2's first. Without --save-every, states are saved before the first step (1), after epochs 1 to 3
// (2 to 4), at the beginning of phase 2 (5) and after its epochs (6, 7).
const std::vector<Point> kPoints{
    {"BeforeAnyFile", {}, {{kKill, "rename", "run.json", 1}}},
    {"BeforeTheFirstSave", {}, {{kKill, "open", "last.next", 1}}},
    {"InTheFirstSave", {}, {{kTear, "write", "last.next", 10}}},
    {"BetweenTheFirstSaveAndItsName", {}, {{kKill, "rename", "last.safetensors", 1}}},
    {"InTheFirstStep", {}, {{kKill, "write", "steps.csv", 2}}},
    {"InTheRowOfTheThirdStep", {}, {{kTear, "write", "steps.csv", 4}}},
    {"InTheLastStepOfTheFirstEpoch", {}, {{kKill, "write", "steps.csv", 6}}},
    {"InTheFirstStepOfTheSecondEpoch", {}, {{kKill, "write", "steps.csv", 7}}},
    {"MidEpoch", {}, {{kKill, "write", "steps.csv", 9}}},
    {"MidEpochSavedEachStep", kSavedEachStep, {{kKill, "write", "steps.csv", 9}}},
    {"WhileATrainingPictureIsRead", kNothingCached, {{kKill, "open", "images/p004", 3}}},
    {"InTheFirstValidation", kNothingCached, {{kKill, "open", "images/p010", 2}}},
    {"InALaterValidation", kNothingCached, {{kKill, "open", "images/p010", 4}}},
    {"InAValidationSavedEachStep", kNothingCached + kSavedEachStep, {{kKill, "open", "images/p010", 3}}},
    {"InAValidationOfPhase2", kNothingCached, {{kKill, "open", "images/p010", 5}}},
    {"InAnEpochFile", {}, {{kTear, "write", "epoch002", 5}}},
    {"BeforeAnEpochFileHasItsName", {}, {{kKill, "rename", "epoch002", 1}}},
    {"BeforeTheBestOfThePhaseIsLinked", {}, {{kKill, "link", "best_phase1", 1}}},
    {"BeforeTheBestOfAllHasItsName", {}, {{kKill, "rename", "best.safetensors", 1}}},
    {"InTheBestOfThePhaseWithoutLinks", {}, {{kTear, "write", "best_phase1", 20}}, 137, {}, kNoLinks},
    {"InTheBestOfAllWithoutLinks", {}, {{kKill, "fsync", "best.safetensors", 1}}, 137, {}, kNoLinks},
    {"InARowOfTheMetrics", {}, {{kTear, "write", "metrics.csv", 3}}},
    {"InTheCurves", {}, {{kKill, "rename", "curves.svg", 2}}},
    {"BeforeWhatIsKeptOfTheBestHasItsName", {}, {{kKill, "rename", "best_validation.json", 1}}},
    {"InWhatIsKeptOfALaterBest", {}, {{kTear, "write", "best_validation.json", 2}}},
    {"InTheReport", {}, {{kTear, "write", "report.html", 2}}},
    {"BeforeTheReportHasItsName", {}, {{kKill, "rename", "report.html", 2}}},
    {"BeforeTheReportSaysFinished", {}, {{kKill, "rename", "report.html", 6}}},
    {"BeforeAnOldEpochFileIsRemoved", {}, {{kKill, "unlink", "epoch001", 1}}},
    {"BeforeTheRowsAreOnDisk", {}, {{kKill, "fsync", "steps.csv", 3}}},
    {"InASave", {}, {{kTear, "write", "last.next", 200}}},
    {"BeforeASaveIsOnDisk", {}, {{kKill, "fsync", "last.next", 3}}},
    {"BeforeASaveIsWhole", {}, {{kKill, "rename", "last.next", 3}}},
    {"BeforeTheStateBeforeIsKept", {}, {{kKill, "rename", "last.prev", 2}}},
    {"BetweenTheTwoRenamesOfASave", {}, {{kKill, "rename", "last.safetensors", 3}}},
    {"InASaveWithinAnEpoch", kSavedEachStep, {{kKill, "rename", "last.safetensors", 8}}},
    {"AtTheEndOfPhase1", {}, {{kKill, "rename", "last.safetensors", 4}}},
    {"AtTheChangeOfPhase", {}, {{kKill, "fsync", "steps.csv", 5}}},
    {"InTheFirstSaveOfPhase2", {}, {{kTear, "write", "last.next", 600}}},
    {"BeforeTheFirstStateOfPhase2HasItsName", {}, {{kKill, "rename", "last.safetensors", 5}}},
    {"InTheFirstStepOfPhase2", {}, {{kKill, "write", "steps.csv", 17}}},
    {"MidPhase2", {}, {{kKill, "write", "steps.csv", 20}}},
    {"InTheBestOfPhase2", {}, {{kKill, "rename", "best_phase2", 1}}},
    {"InTheLastStepOfAll", {}, {{kKill, "write", "steps.csv", 26}}},
    {"InTheLastSave", {}, {{kKill, "rename", "last.safetensors", 7}}},
    {"TwiceInOneEpoch", {}, {{kKill, "write", "steps.csv", 9}, {kKill, "write", "steps.csv", 4}}},
    {"TwiceInOneSave", {}, {{kKill, "rename", "last.safetensors", 2}, {kKill, "rename", "last.safetensors", 1}}},
    {"TwiceBeforeTheFirstSave", {}, {{kKill, "open", "last.next", 1}, {kTear, "write", "last.next", 3}}},
    {"FiveTimes",
     kSavedEachStep,
     {{kKill, "write", "steps.csv", 4},
      {kTear, "write", "last.next", 9},
      {kKill, "rename", "last.safetensors", 4},
      {kTear, "write", "steps.csv", 5},
      {kKill, "fsync", "curves.svg", 1}}},
    {"MidEpochOfAccumulatedSteps", kSavedEachStep + Words{"--accumulate", "2"}, {{kKill, "write", "steps.csv", 3}}},
    {"PlateauAndWarmup",
     kSavedEachStep + Words{"--schedule", "plateau", "--warmup", "4"},
     {{kKill, "write", "steps.csv", 3}, {kKill, "write", "steps.csv", 11}}},
    {"WithTwoWorkers", kSavedEachStep + Words{"-j", "2"}, {{kKill, "write", "steps.csv", 9}}},
    {"WithOtherWorkersThanBefore",
     kNothingCached + kSavedEachStep,
     {{kKill, "write", "steps.csv", 9}},
     137,
     {"-j", "2"}},
    {"TerminatedInTheFirstStep", {}, {{kTerminate, "write", "steps.csv", 2}}, 143},
    {"TerminatedMidEpoch", {}, {{kTerminate, "write", "steps.csv", 9}}, 143},
    {"TerminatedWithTwoWorkers", {"-j", "2"}, {{kTerminate, "write", "steps.csv", 10}}, 143},
    {"TerminatedInAValidation", kNothingCached, {{kTerminate, "open", "images/p010", 3}}, 143},
    {"TerminatedInASave", {}, {{kTerminate, "write", "last.next", 200}}, 143},
    {"TerminatedAtTheChangeOfPhase", {}, {{kTerminate, "fsync", "steps.csv", 5}}, 143},
    {"InterruptedMidPhase2", {}, {{kInterrupt, "write", "steps.csv", 20}}, 130},
    {"InterruptedTwiceInTwoSteps",
     {},
     {{kInterrupt, "write", "steps.csv", 8}, {kInterrupt, "write", "steps.csv", 1}},
     130},
};

class ResumePoint : public TinyTraining, public testing::WithParamInterface<Point> {};

TEST_P(ResumePoint, EndsAsTheRunLeftAlone) {
  const Point& point = GetParam();
  const fs::path output = folder_ / "run";
  Words more = point.options;
  for (const Fault& fault : point.faults) {
    const ProgramResult ended = run_into(fault, point.settings + command(output, more), folder_.path());
    ASSERT_EQ(ended.code, point.code) << "the point was not reached: " << ended.out << ended.err;
    more = point.options + (point.resume_with.empty() ? Words{} : point.resume_with) + Words{"--resume", "auto"};
    if (fs::exists(output / "last.safetensors") || fs::exists(output / "last.prev.safetensors")) continue;
    const ProgramResult nothing = run(command(output, more));
    EXPECT_EQ(nothing.code, 1) << "before the first save there is nothing to go on from";
    expect_parts(nothing.err, {"nothing to resume", output.string()});
    more = point.options + Words{"--overwrite"};
  }
  const ProgramResult resumed = run(command(output, more));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  expect_as_alone(output, point.options);
}

INSTANTIATE_TEST_SUITE_P(, ResumePoint, testing::ValuesIn(kPoints),
                         [](const testing::TestParamInfo<Point>& point) { return std::string(point.param.name); });

}  // namespace
}  // namespace unet::test::resume_test
