// scripts/demo.sh and scripts/test.sh up to their configuring, in a copy of the scripts, among stand-ins for the tools
// that they call: what they would build, and that no more than a bare system has is needed.
#include <cstdlib>

#include "tests/apps/small_data.h"
#include "tests/support/places.h"

namespace unet::test::scripts_test {
namespace {

class Scripts : public testing::Test {
 protected:
  Scripts() {
    fs::create_directory(folder_ / "project");
    fs::copy(places::source("scripts"), folder_ / "project" / "scripts", fs::copy_options::recursive);
    for (const char* name : {"apps", "bench", "engine", "kernels", "models", "tests", "build"}) {
      fs::create_directory(folder_ / "project" / name);
    }
    stand_in("dpkg-query", "echo 'install ok installed'");  // nothing is missing
    stand_in("cmake", "printf '%s\\n' \"$@\" >>\"$CALLS\"; exit 3");
    stand_in("clang-format", "echo version 14.0.6; printf '%s\\n' \"$@\" >>\"$CALLS\"");
    stand_in("git", "echo git: command not found >&2; exit 127");
    stand_in("nvidia-smi", "exit 127");
  }

  /// A program of this name in front of all others.
  void stand_in(const std::string& name, const std::string& commands) {
    write_text(tools_ / name, "#!/bin/sh\n" + commands + "\n");
    fs::permissions(tools_ / name, fs::perms::owner_all);
  }
  /// nvidia-smi of a machine whose GPUs are of these chips, a line each.
  void gpus(const std::string& chips) {
    stand_in("nvidia-smi",
             "case \"$1\" in\n-L) echo 'GPU 0: a card (UUID: GPU-1)'; echo 'GPU 1: another' ;;\n*) printf '" + chips +
                 "' ;;\nesac");
  }

  /// What the stand-ins for cmake and clang-format were told, a word a line, until the script gave up at cmake.
  std::string calls_of(const std::string& script) {
    const fs::path calls = folder_ / "calls";
    fs::remove(calls);
    const ProgramResult result =
        run({"bash", (folder_ / "project" / "scripts" / script).string()},
            {"PATH=" + tools_.string() + ":" + std::getenv("PATH"), "CALLS=" + calls.string()});
    EXPECT_NE(result.code, 0) << "the stand-in for cmake fails";
    EXPECT_EQ(result.err, "");
    return text_of(calls);
  }

  const Folder folder_;
  const fs::path tools_ = folder_ / "tools";
};

TEST_F(Scripts, ADemoWithoutAGpuCompilesNoCuda) {
  expect_parts(calls_of("demo.sh"), {"--preset\nrelease\n", "-DUNET_CUDA=OFF\n"});
  stand_in("nvidia-smi", "echo 'No devices were found'; exit 6");  // the driver's tool alone
  expect_parts(calls_of("demo.sh"), {"-DUNET_CUDA=OFF\n"});
}

TEST_F(Scripts, ADemoWithAGpuCompilesForItsChipAlone) {
  gpus("9.0\\n");
  expect_parts(calls_of("demo.sh"), {"-DUNET_CUDA=ON\n", "-DUNET_CUDA_ARCHITECTURES=90-real\n"});
  gpus("12.0\\n8.6\\n8.6\\n");
  expect_parts(calls_of("demo.sh"), {"-DUNET_CUDA_ARCHITECTURES=86-real;120-real\n"});
  gpus("Field \"compute_cap\" is not a valid field to query.\\n");  // an old driver: every chip
  expect_parts(calls_of("demo.sh"), {"-DUNET_CUDA=ON\n", "-UUNET_CUDA_ARCHITECTURES\n"});
}

TEST_F(Scripts, TheTestsNeedNoGitAndTakeNothingOverFromADemo) {
  write_text(folder_ / "project" / "apps" / "a.cpp", "");
  write_text(folder_ / "project" / "engine" / "core" / "b.h", "");
  write_text(folder_ / "project" / "build" / "made.cpp", "");
  const std::string calls = calls_of("test.sh");
  expect_parts(calls, {"apps/a.cpp\n", "engine/core/b.h\n", "--dry-run\n--Werror\n", "-DUNET_CUDA=ON\n"});
  EXPECT_EQ(calls.find("made.cpp"), std::string::npos) << "what a build made is nobody's style";
}

}  // namespace
}  // namespace unet::test::scripts_test
