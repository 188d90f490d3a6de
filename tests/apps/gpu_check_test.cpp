// scripts/gpu_check.sh from end to end on a machine without a GPU: stand-ins (tests/support/gpu_stand_ins) for the
// device's tools and PyTorch, this build's programs on small sizes for what runs on the device.
#include <map>

#include "tests/apps/small_data.h"
#include "tests/support/places.h"

namespace unet::test::gpu_check_test {
namespace {

using Table = std::vector<std::pair<std::string, std::string>>;

Table table_of(const std::string& text) {
  Table out;
  for (const std::string& line : lines_of(text)) {
    const std::size_t bar = line.find(" | ");
    if (bar == std::string::npos) {
      ADD_FAILURE() << "no row: " << line;
      continue;
    }
    out.emplace_back(line.substr(0, line.find_last_not_of(' ', bar) + 1), line.substr(bar + 3));
  }
  return out;
}

class GpuCheck : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"bench_step", "test_kernels_cuda", "test_engine_cuda"}) {
      if (!fs::exists(program(name))) GTEST_SKIP() << name << " is not part of this build";
    }
    if (run({"bash", "-c", "command -v python3 timeout stdbuf awk tar"}).code != 0) GTEST_SKIP() << "a tool is missing";
    write_small_pets(folder_ / "pets", 12, 2);
    fs::create_directories(folder_ / "programs");
    fs::create_directories(folder_ / "out");
    for (const char* name : {"train_unet", "eval_unet", "bench_step", "bench_kernels", "test_kernels_cuda_device",
                             "test_engine_cuda_device"}) {
      fs::create_symlink(kStandIns / "program", folder_ / "programs" / name);
    }
  }

  ProgramResult check(const Words& words, const Words& more = {}) {
    const Words settings{"PATH=" + kStandIns.string() + ":" + std::getenv("PATH"),
                         "PYTHONPATH=" + (kStandIns / "python").string(),
                         "PYTHONDONTWRITEBYTECODE=1",
                         "REAL_PROGRAMS=" + places::build("bin"),
                         "UNET_GPU_PROGRAMS=" + (folder_ / "programs").string(),
                         "UNET_GPU_PETS=" + (folder_ / "pets").string(),
                         "UNET_GPU_RESULTS=" + (folder_ / "results").string(),
                         "OUT=" + (folder_ / "out").string()};
    return run(Words{"bash", places::source("scripts/gpu_check.sh")} + words, settings + more);
  }
  Table table() const { return table_of(text_of(folder_ / "out" / "gpu_check_table.txt")); }

  /// The value of the last row of this name; empty, and a failure, without one.
  std::string value(const std::string& name) const {
    std::string out;
    for (const auto& [row, text] : table()) {
      if (row == name) out = text;
    }
    EXPECT_NE(out, "") << "no row " << name;
    return out;
  }

  const fs::path kStandIns = places::source("tests/support/gpu_stand_ins");
  const Folder folder_;
};

TEST_F(GpuCheck, FillsEveryTable) {
  for (const char* part : {"first", "second"}) {
    const ProgramResult result = check({part});
    EXPECT_EQ(result.code, 0) << result.out << result.err;
    EXPECT_EQ(result.err, "") << "a command of the script itself complains";
    const std::string last = result.out.substr(result.out.find(std::string("\n== gpu_check ") + part));
    EXPECT_LE(lines_of(last).size(), 56u) << "a short table comes last: " << last;
    EXPECT_EQ(last.find("moments_kernel"), std::string::npos) << last;
  }
  for (const auto& [name, text] : table()) {
    EXPECT_NE(name, "");
    EXPECT_NE(text.find_first_not_of(" ,|"), std::string::npos) << name << " is empty";
    for (const char* hole : {"nan", "None", " ,", ": ,", "FAILED", "cut short"}) {
      EXPECT_EQ(text.find(hole), std::string::npos) << name << " | " << text;
    }
  }
  std::vector<std::string> names{"GPU",
                                 "cuDNN",
                                 "cuBLASLt",
                                 "programs",
                                 "PyTorch",
                                 "ncu, a step",
                                 "ncu, a step, own kernels",
                                 "ncu, moments_kernel<bf16,8>",
                                 "model and ncu, a step",
                                 "model and ncu, adam_kernel",
                                 "copy on the device",
                                 "three runs of 12 steps with warm caches",
                                 "memcheck",
                                 "pets, two phases",
                                 "pets, test Dice, best_phase1",
                                 "pets, test Dice, best",
                                 "N=32 training, ours against torch.compile",
                                 "N=32 memory, ours / torch.compile"};
  for (const char* batch : {"1", "16", "32", "64"}) {
    for (const char* figure :
         {"training, ours", "inference, ours", "memory, ours", "training, eager", "inference, eager", "memory, eager",
          "training, ours against eager", "inference, ours against eager", "memory, ours / eager"}) {
      names.push_back(std::string("N=") + batch + " " + figure);
    }
  }
  for (const std::string& name : names) value(name);
  EXPECT_EQ(value("cuda/norm_act_forward/32x256x256x64/bf16"), "206.1 us, 3907 GB/s, 90.9 % of copy");
  EXPECT_EQ(value("ncu, moments_kernel<bf16,8>"), "1 x, 74.6 us, 268.5 MB read, 29.3 written, 3.99 TB/s");
  EXPECT_EQ(value("racecheck"), "6 of 6 families clean");
  EXPECT_EQ(value("pets, two phases").substr(0, 9), "2 epochs ");

  const ProgramResult logs = run({"tar", "-tzf", (folder_ / "out" / "gpu_check_logs.tar.gz").string()});
  expect_parts(logs.out, {"table.txt", "logs/kernels.log", "logs/kernels.passed", "logs/ncu.csv", "logs/ncu_step.csv"});

  // What has passed is not run again, unless it is named.
  const ProgramResult again = check({"first"}, {"STAND_IN_FAILS=."});
  EXPECT_EQ(again.code, 0) << again.out << again.err;
  EXPECT_EQ(value("kernels"), "passed before");
  EXPECT_EQ(check({"step", "parity"}, {"STAND_IN_FAILS=."}).code, 1);
}

TEST_F(GpuCheck, WhatFailsOrHangsIsShownAndStopsNothing) {
  const ProgramResult first = check({"first"}, {"STAND_IN_FAILS=^test_kernels_cuda_device", "STAND_IN_COMPILE=fails"});
  EXPECT_EQ(first.code, 1) << first.out << first.err;
  EXPECT_EQ(value("kernels"), "FAILED (exit code 3): stand-in error: made to fail");
  EXPECT_EQ(value("kernels.blocking").substr(0, 6), "FAILED") << "not tried again with every launch waited for";
  EXPECT_EQ(value("N=32 torch.compile"), "FAILED: made to fail");
  EXPECT_EQ(value("steps").substr(0, 7), "passed:");
  value("N=32 training, ours against eager");

  const ProgramResult second = check(
      {"second"}, {"STAND_IN_HANGS=^(compute-sanitizer --tool racecheck.*CudaStep|ncu)", "UNET_GPU_LIMIT_profile=1",
                   "UNET_GPU_LIMIT_racecheck_step=1", "STAND_IN_FAILS=^(eval_unet|train_unet.*repeat_2)"});
  EXPECT_EQ(second.code, 1) << second.out << second.err;
  EXPECT_EQ(value("profile"), "cut short after 1 s");
  EXPECT_EQ(value("profile_table").substr(0, 6), "FAILED");
  EXPECT_EQ(value("racecheck.step"), "cut short after 1 s");
  EXPECT_EQ(value("racecheck"), "5 of 6 families clean");
  EXPECT_EQ(value("memcheck.step").substr(0, 7), "passed:");
  EXPECT_EQ(value("repeat_2").substr(0, 6), "FAILED");
  EXPECT_EQ(value("three runs of 12 steps with warm caches").substr(0, 6), "FAILED");
  EXPECT_EQ(value("pets_best").substr(0, 6), "FAILED");
  value("synccheck.step");

  const ProgramResult late = check({"step", "gpu", "streams"}, {"UNET_GPU_SECONDS=1"});
  EXPECT_EQ(late.code, 1);
  EXPECT_EQ(value("streams"), "not begun: no time left");
}

TEST_F(GpuCheck, ACompilerThatHangsCostsItsOwnTimeOnly) {
  const ProgramResult result =
      check({"step", "pytorch_32"}, {"STAND_IN_COMPILE=hangs", "UNET_GPU_LIMIT_pytorch_32=12"});
  EXPECT_EQ(result.code, 1) << result.out << result.err;
  EXPECT_EQ(value("pytorch_32"), "cut short after 12 s");
  value("N=32 training, ours against eager");
}

TEST_F(GpuCheck, FindsTheLibrariesOfPython) {
  for (const char* place : {"nvidia/cudnn/lib/libcudnn.so.9", "nvidia/cu13/lib/libcublasLt.so.13"}) {
    fs::create_directories((folder_ / "python" / place).parent_path());
    std::ofstream(folder_ / "python" / place);
  }
  const std::string path = (folder_ / "python").string() + ":" + (kStandIns / "python").string();
  EXPECT_EQ(check({"step", "gpu"}, {"PYTHONPATH=" + path}).code, 0);
  EXPECT_EQ(value("cuDNN"), folder_ / "python/nvidia/cudnn/lib/libcudnn.so.9");
  EXPECT_EQ(value("cuBLASLt"), folder_ / "python/nvidia/cu13/lib/libcublasLt.so.13");
}

TEST_F(GpuCheck, SkippedTestsAreNoSuccess) {
  std::ofstream(folder_ / "none")
      << "#!/bin/sh\necho '[  PASSED  ] 2 tests.'; echo '[  SKIPPED ] 39 tests, listed below:'\n";
  fs::permissions(folder_ / "none", fs::perms::owner_all);
  fs::remove(folder_ / "programs" / "test_kernels_cuda_device");
  fs::create_symlink(folder_ / "none", folder_ / "programs" / "test_kernels_cuda_device");
  EXPECT_EQ(check({"step", "kernels", "memcheck"}).code, 1);
  EXPECT_EQ(value("kernels"), "FAILED: 2 tests ran, 39 were skipped");
  EXPECT_EQ(value("memcheck.step"), "FAILED: 2 tests ran, 39 were skipped");
}

TEST_F(GpuCheck, NamesItsSteps) {
  EXPECT_EQ(check({}).code, 2);
  const ProgramResult unknown = check({"step", "nothing"});
  EXPECT_EQ(unknown.code, 2);
  expect_parts(unknown.err, {"no step \"nothing\"", "kernels", "pets"});
}

}  // namespace
}  // namespace unet::test::gpu_check_test
