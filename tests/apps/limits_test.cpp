// What a shell hands down: limits, closed descriptors, ignored signals, pipes.
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/apps/tiny_training.h"

namespace unet::test::limits_test {
namespace {

class Limits : public TinyTraining {
 protected:
  /// The command in a shell, behind this text of it.
  static ProgramResult in_shell(const std::string& before, const Words& words) {
    return run(Words{"bash", "-c", before + " exec \"$0\" \"$@\""} + words);
  }
  static void await(const fs::path& path, BackgroundProgram& program) {
    while (!fs::exists(path) && !program.ended()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const fs::path output_ = folder_ / "run";
};

TEST_F(Limits, TooFewThreadsSayHowManyWereAskedForAndWhatToLower) {
  const Words words = command(output_, {"--threads", "3", "-j", "2", "--overwrite"});
  bool of_workers = false, of_threads = false;
  for (int most = 0; most < 20; ++most) {
    const ProgramResult result = run_with_threads(most, words);
    if (result.code == 0) break;
    EXPECT_EQ(result.code, 1) << result.err;
    expect_parts(result.err,
                 {"train_unet: cannot start ", " threads", "Resource temporarily unavailable", "ulimit -u"});
    of_workers |= result.err.find("2 threads that load images") != std::string::npos;
    of_threads |= result.err.find("3 threads") != std::string::npos;
    EXPECT_NE(result.err.find(result.err.find("load images") != std::string::npos ? "--workers" : "--threads"),
              std::string::npos)
        << result.err;
  }
  EXPECT_TRUE(of_workers);
  EXPECT_TRUE(of_threads);
  EXPECT_EQ(run_with_threads(100, words).code, 0);
}

TEST_F(Limits, ASmallStackIsEnlargedOrRefused) {
  const Words words = command(output_, {"--image-size", "64", "--threads", "2", "-j", "1", "--overwrite"});
  const ProgramResult raised = in_shell("ulimit -S -s 256;", words);
  EXPECT_EQ(raised.code, 0) << raised.err;
  const ProgramResult enough = in_shell("ulimit -s 1024;", words);
  EXPECT_EQ(enough.code, 0) << enough.err;
  for (const Words& each : {words, Words{program("eval_unet"), "-c", "x", "-d", "y"}}) {
    const ProgramResult refused = in_shell("ulimit -s 256;", each);
    EXPECT_EQ(refused.code, 1) << refused.err;
    expect_parts(refused.err, {"_unet: a stack of 256 KiB", "at least 1024 KiB", "ulimit -s"});
  }
}

TEST_F(Limits, ClosedDescriptorsBecomeNoFileOfARun) {
  for (const char* closed : {">&-", "2>&-", "<&-", "<&- >&- 2>&-"}) {
    const ProgramResult result = run(Words{"sh", "-c", std::string("exec \"$0\" \"$@\" ") + closed} +
                                     command(output_, {"--verbose", "--overwrite"}));
    EXPECT_EQ(result.code, 0) << closed << result.err;
    expect_as_alone(output_);
    for (const std::string& line : lines_of(text_of(output_ / "steps.csv"))) {
      EXPECT_EQ(line.find("step "), std::string::npos) << line;
    }
    const ProgramResult eval =
        run({"sh", "-c",
             std::string("exec \"$0\" -c \"$1\" -d \"$2\" --split val --json \"$3\" --per-image \"$4\" ") + closed,
             program("eval_unet"), (output_ / "best.safetensors").string(), data_.string(), (folder_ / "json").string(),
             (folder_ / "csv").string()});
    EXPECT_EQ(eval.code, 0) << closed << eval.err;
    EXPECT_TRUE(text_of(folder_ / "json").starts_with("{")) << text_of(folder_ / "json");
    EXPECT_TRUE(text_of(folder_ / "csv").starts_with("name,")) << text_of(folder_ / "csv");
  }
}

TEST_F(Limits, NoMessageThatIsLostChangesTheExitCode) {
  const std::string train = program("train_unet"), eval = program("eval_unet"), predict = program("predict_unet");
  for (const char* lost : {"2> /dev/full", "2>&-"}) {
    const auto code_of = [&](const Words& words) {
      return run(Words{"sh", "-c", std::string("exec \"$0\" \"$@\" ") + lost} + words).code;
    };
    for (const std::string& name : {train, eval, predict}) {
      EXPECT_EQ(code_of({name}), 2) << name;
      EXPECT_EQ(code_of({name, "--colour"}), 2) << name;
    }
    EXPECT_EQ(code_of({train, "-d", "/nowhere"}), 1);
    EXPECT_EQ(code_of({train, "-d", "x", "--config", "/nowhere"}), 1);
    EXPECT_EQ(code_of({eval, "-c", "/nowhere", "-d", "x"}), 1);
    // A warning, then the message of the signal.
    BackgroundProgram interrupted(Words{"sh", "-c", std::string("exec \"$0\" \"$@\" ") + lost} +
                                      command(output_, {"-e", "100000", "--overwrite"}),
                                  folder_ / "out");
    await(output_ / "last.safetensors", interrupted);
    interrupted.send(SIGINT);
    EXPECT_EQ(interrupted.wait(), 130);
    fs::remove_all(output_);
  }
}

TEST_F(Limits, HelpThatIsLostIsAnError) {
  for (const char* name : {"train_unet", "eval_unet", "predict_unet"}) {
    for (const char* option : {"--help", "--version"}) {
      const Words words{program(name), option};
      const ProgramResult lost = run(Words{"sh", "-c", "exec \"$0\" \"$@\" > /dev/full"} + words), told = run(words);
      EXPECT_EQ(lost.code, 1) << name << option;
      expect_parts(lost.err, {name, "standard output"});
      EXPECT_EQ(told.code, 0);
      EXPECT_NE(told.out.find(name), std::string::npos) << told.out;
    }
  }
}

TEST_F(Limits, SignalsThatAShellIgnoresStayIgnored) {  // what a script starts with & has them ignored
  BackgroundProgram program(Words{"bash", "-c", "trap '' INT TERM; exec \"$0\" \"$@\""} +
                                command(output_, {"-e", "100000", "--phase2-epochs", "0"}),
                            folder_ / "out");
  await(output_ / "last.safetensors", program);
  program.send(SIGINT);
  program.send(SIGTERM);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(program.ended());
  program.send(SIGHUP);
  EXPECT_EQ(program.wait(), 129);
}

TEST_F(Limits, InterruptedTogetherWithItsReaderARunIsSavedExactly) {  // Ctrl-C on `train_unet --verbose | tee log`
  const Words options{"-e", "30", "--phase2-epochs", "1", "--verbose"};
  const fs::path group = folder_ / "group";
  const std::string script =
      fmt::format("trap : INT; echo $$ > {}; \"$0\" \"$@\" | tee {} > /dev/null; exit ${{PIPESTATUS[0]}}",
                  group.string(), (folder_ / "log").string());
  BackgroundProgram shell(Words{"setsid", "bash", "-c", script} + command(output_, options), folder_ / "out");
  await(output_ / "last.safetensors", shell);
  ::kill(-std::stoi(text_of(group)), SIGINT);
  EXPECT_EQ(shell.wait(), 130);
  EXPECT_LT(lines_of(text_of(output_ / "steps.csv")).size(), 156u) << "it was not interrupted";
  ASSERT_EQ(run(command(output_, options + Words{"--resume", "auto"})).code, 0);
  expect_as_alone(output_, options);
}

}  // namespace
}  // namespace unet::test::limits_test
