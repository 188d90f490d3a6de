// What autotune chose on a GPU, the stand-in here, is kept for later runs, and whatever is wrong with that is lived
// with.
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "engine/ops/plan_file.h"
#include "tests/apps/faults.h"
#include "tests/apps/small_data.h"

namespace unet::test::kept_plans_test {
namespace {

constexpr const char* kOne = "shim:own:gemm";  // a candidate of every pass

class KeptPlans : public testing::Test {
 protected:
  KeptPlans() { write_small_pairs(data_, 4, 2, 32, 32); }

  Words words(const std::string& output, const Words& more = {}) const {
    return Words{program("train_unet_on_shim")} +
           small_run(data_, folder_ / output,
                     Words{"-b", "2", "--phase2-epochs", "0", "--device", "cuda", "--precision", "fp32"} + more);
  }
  ProgramResult train(const std::string& output, const Words& more = {}) const {
    return run(words(output, more), {"XDG_CACHE_HOME=" + cache_.string()});
  }
  std::vector<PlanChoice> plans_of(const std::string& output) const {
    return read_plans(folder_ / output / "plans.json");
  }
  /// The one file that is kept after a first run.
  fs::path filled(const Words& more = {}) const {
    const ProgramResult first = train("first", more);
    EXPECT_EQ(first.code, 0) << first.err;
    EXPECT_EQ(first.err, "");
    expect_parts(first.out, {"convolutions timed (auto, on a GPU"});
    const std::vector<std::string> names = names_in(cache_ / "unet.cpp");
    EXPECT_EQ(names.size(), 1u);
    return cache_ / "unet.cpp" / names.at(0);
  }
  static void rewrite(const fs::path& file, const std::string& id) {
    std::vector<PlanChoice> plans = read_plans(file);
    for (PlanChoice& plan : plans) plan.id = id;
    write_text(file, plans_text(plans));
  }
  static std::set<std::string> ids_of(const std::vector<PlanChoice>& plans) {
    std::set<std::string> out;
    for (const PlanChoice& plan : plans) out.insert(plan.id);
    return out;
  }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", cache_ = folder_ / "cache";
};

TEST_F(KeptPlans, ASecondRunTimesNothingAndIsTheSame) {
  const fs::path file = filled();
  expect_parts(text_of(folder_ / "first" / "run.json"), {"\"autotune\": \"true\""});
  rewrite(file, kOne);  // what no clock would choose throughout
  const std::string kept = text_of(file);
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat(file.c_str(), &before), 0);
  for (const char* output : {"a", "b"}) ASSERT_EQ(train(output).err, "") << output;
  EXPECT_EQ(ids_of(plans_of("a")), std::set<std::string>{kOne});
  EXPECT_EQ(text_of(folder_ / "a" / "steps.csv"), text_of(folder_ / "b" / "steps.csv"));
  EXPECT_EQ(text_of(file), kept);
  ASSERT_EQ(::stat(file.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino) << "it is written where something was timed";

  // A resumed run has its own; --plans goes before both.
  rewrite(file, "shim:none");
  const ProgramResult resumed = train("a", {"-e", "2", "--resume"});
  EXPECT_EQ(resumed.code, 0);
  EXPECT_EQ(resumed.err, "");
  EXPECT_EQ(ids_of(plans_of("a")), std::set<std::string>{kOne});
  ASSERT_EQ(train("ruled", {"--no-autotune"}).err, "");
  ASSERT_NE(plans_of("ruled"), plans_of("a"));
  const Words ruled{"--plans", (folder_ / "ruled" / "plans.json").string()};
  ASSERT_EQ(train("a", Words{"-e", "3", "--resume"} + ruled).err, "");
  EXPECT_EQ(plans_of("a"), plans_of("ruled"));
}

TEST_F(KeptPlans, ADamagedOrForeignFileIsToldIgnoredAndReplaced) {
  const fs::path file = filled({"--max-steps", "1"});
  const std::string whole = text_of(file);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
      text.replace(at, from.size(), to);
    return text;
  };
  const auto expect_told = [&](const std::string& what, const std::string& reason) {
    const ProgramResult result = train(what, {"--max-steps", "1"});
    EXPECT_EQ(result.code, 0) << what;
    const std::vector<std::string> lines = lines_of(result.err);
    ASSERT_EQ(lines.size(), 1u) << what << "\n" << result.err;
    expect_parts(lines[0], {"warning: ", file.string(), reason});
    EXPECT_LT(lines[0].size(), 600u);
  };
  const std::string id = "\"id\":\"", cut = whole.substr(0, whole.size() / 2);
  for (const auto& [what, text, reason] :
       {std::tuple{"empty", std::string(), "no choice of convolutions"},
        {"cut", cut, "no choice of convolutions"},
        {"brackets", std::string(1 << 20, '['), "no choice of convolutions"},
        {"token", "\"" + std::string(1 << 20, 'x'), "no choice of convolutions"},
        {"large", std::string((1 << 24) + 1, ' '), "larger than"},
        {"version", with("unet.cpp 0", "unet.cpp 9"), "was made for"},
        {"gpu", with("CPU shim", "CPU \\u001b[2J"), "was made for \"cuda (CPU \\x1b"},
        {"id", with(id, id + "no "), "is none of the stand-in's"}}) {
    write_text(file, text);
    expect_told(what, reason);
    const std::vector<PlanChoice> now = read_plans(file);
    EXPECT_EQ(now.size(), parse_plans(whole, "whole").size()) << what;
    EXPECT_EQ(text_of(file).find("\"no "), std::string::npos) << what;
  }
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  expect_told("pipe", "no regular file");
}

TEST_F(KeptPlans, AnotherVersionsFileIsLeftAlone) {
  const fs::path file = filled();
  std::string name = file.filename().string();
  ASSERT_NE(name.find("unet.cpp_0"), std::string::npos) << name;
  const fs::path other = file.parent_path() / name.replace(name.find("unet.cpp_0"), 10, "unet.cpp_9");
  fs::rename(file, other);
  write_text(other, "of another version");
  EXPECT_EQ(train("second").err, "");
  EXPECT_TRUE(fs::exists(file));
  EXPECT_EQ(text_of(other), "of another version");
}

TEST_F(KeptPlans, AFolderThatCannotBeWrittenIsToldOnce) {
  write_text(folder_ / "file", "");
  const auto expect_told = [](const ProgramResult& result, const std::string& reason) {
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(lines_of(result.err).size(), 1u) << result.err;
    expect_parts(result.err, {"warning: ", "convolutions", reason});
  };
  expect_told(run(words("a"), {"XDG_CACHE_HOME=" + (folder_ / "file").string()}), "Not a directory");
  expect_told(run(words("b"), {"XDG_CACHE_HOME=relative", "HOME="}), "neither XDG_CACHE_HOME nor HOME");
  const Words cached{"env", "XDG_CACHE_HOME=" + cache_.string()};
  fs::create_directories(cache_);
  expect_told(run_into({"errors 30", "open", ".json"}, cached + words("c", {"--save-every", "0"}), cache_),
              "Read-only file system");
  EXPECT_TRUE(names_in(cache_ / "unet.cpp").empty());
  const fs::path home = folder_ / "home";
  EXPECT_EQ(run(words("home"), {"XDG_CACHE_HOME=", "HOME=" + home.string()}).err, "");
  EXPECT_EQ(names_in(home / ".cache" / "unet.cpp").size(), 1u);
}

TEST_F(KeptPlans, NothingIsKeptOfADryRunOfACpuOrWithoutAutotune) {
  const ProgramResult ruled = train("ruled", {"--no-autotune"});
  expect_parts(ruled.out, {"convolutions by rule\n"});
  expect_parts(text_of(folder_ / "ruled" / "run.json"), {"\"autotune\": \"false\""});
  EXPECT_EQ(train("dry", {"--dry-run"}).code, 0);
  Words on_cpu = words("cpu", {"--autotune"});
  on_cpu[0] = program("train_unet");
  std::replace(on_cpu.begin(), on_cpu.end(), std::string("cuda"), std::string("cpu"));
  const ProgramResult cpu = run(on_cpu, {"XDG_CACHE_HOME=" + cache_.string()});
  expect_parts(cpu.out, {"convolutions timed\n"});
  EXPECT_EQ(cpu.err + ruled.err, "");
  EXPECT_FALSE(fs::exists(cache_));
}

TEST_F(KeptPlans, EveryProgramKeepsThemTwoAtOnceToo) {
  const std::string best = (folder_ / "first" / "best.safetensors").string();
  const fs::path file = filled();
  fs::remove(file);
  const Words settings{"XDG_CACHE_HOME=" + cache_.string()}, device{"--device", "cuda", "--precision", "bf16"};
  const Words evaluate =
      Words{program("eval_unet_on_shim"), "-c", best, "-d", data_.string(), "--split", "val"} + device;
  ASSERT_EQ(run(evaluate, settings).err, "");
  const std::size_t of_evaluation = read_plans(file).size();
  const Words predict = Words{program("predict_unet_on_shim"),          "-c", best,
                              (data_ / "images" / "t000.png").string(), "-o", (folder_ / "out").string()} +
                        device;
  ASSERT_EQ(run(predict, settings).err, "");
  EXPECT_GT(read_plans(file).size(), of_evaluation) << "one image a pass; those of the evaluation are there still";
  const std::string kept = text_of(file);
  ASSERT_EQ(run(evaluate, settings).err, "");
  EXPECT_EQ(text_of(file), kept);

  fs::remove(file);
  const Words cached{"env", settings[0]};
  BackgroundProgram a(cached + words("a"), folder_ / "a.txt"), b(cached + words("b"), folder_ / "b.txt");
  EXPECT_EQ(a.wait(), 0);
  EXPECT_EQ(b.wait(), 0);
  EXPECT_EQ(train("c").err, "");
  EXPECT_EQ(read_plans(file).size(), plans_of("c").size()) << "whole, and nothing is missing any more";
}

}  // namespace
}  // namespace unet::test::kept_plans_test
