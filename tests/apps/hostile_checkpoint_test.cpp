// Checkpoints from other hands, and damaged ones: refused by name before anything is written, and nothing is written
// anywhere else.
#include <bit>
#include <fstream>

#include "tests/apps/checkpoint_edit.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::hostile_checkpoint_test {
namespace {

class HostileCheckpoint : public TinyTraining {
 protected:
  /// A run that ended in the middle of its second epoch.
  fs::path half_run() {
    const fs::path output = folder_ / "half";
    EXPECT_EQ(run_into({"signal 15", "write", "steps.csv", 9}, command(output), folder_.path()).code, 143);
    return output;
  }
};

/// The paths that a traced program opened to write, made, renamed or removed.
std::vector<std::string> written_in(const fs::path& log) {
  std::vector<std::string> paths;
  std::ifstream file(log);
  for (std::string line; std::getline(file, line);) {
    const bool opens = line.find("open") != line.npos;
    if (opens && line.find("O_WRONLY") == line.npos && line.find("O_RDWR") == line.npos &&
        line.find("O_CREAT") == line.npos) {
      continue;
    }
    if (line.find(" = -1 ") != line.npos && line.find("ENOENT") != line.npos && !opens) continue;
    for (std::size_t begin = line.find('"'); begin != line.npos; begin = line.find('"', begin)) {
      const std::size_t end = line.find('"', begin + 1);
      if (end == line.npos) break;
      paths.push_back(fs::path(line.substr(begin + 1, end - begin - 1)).lexically_normal().string());
      begin = end + 1;
    }
  }
  return paths;
}

TEST_F(HostileCheckpoint, AResumeWritesNowhereButInItsFolder) {
  const fs::path output = half_run(), log = folder_ / "log";
  fs::create_directory(output / "unet_d");  // which would make the name a path
  write_with_record(output / "last.safetensors", output / "last.safetensors",
                    [](nlohmann::json& record) { record["state"]["started"] = "d/../../../escaped"; });
  fs::remove(output / "last.prev.safetensors");
  const std::vector<std::string> before = names_in(folder_.path());
  const Words resume = command(output, {"--resume", "auto"});
  const ProgramResult refused = run(resume);
  EXPECT_EQ(refused.code, 1) << refused.out;
  expect_parts(refused.err, {(output / "last.safetensors").string(), "the record of the run is damaged", "\"started\"",
                             "d/../../../escaped"});
  EXPECT_EQ(names_in(folder_.path()), before);

  const Words trace{
      "strace",
      "-f",
      "-qq",
      "-s",
      "4096",
      "-o",
      log.string(),
      "-e",
      "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,"
      "symlinkat,truncate"};
  if (sanitized || run({"sh", "-c", "strace -o /dev/null true"}).code != 0) GTEST_SKIP() << "strace cannot trace here";
  EXPECT_EQ(run(trace + resume).code, 1);
  const auto expect_inside = [&](std::size_t at_least) {
    const std::vector<std::string> paths = written_in(log);
    EXPECT_GE(paths.size(), at_least);
    for (const std::string& path : paths) {
      EXPECT_TRUE(path.starts_with(output.string() + "/") || path == "/dev/null") << path;
    }
  };
  expect_inside(1);  // its lock
  // What a sound record does, for the tracing to be seen at work.
  write_with_record(output / "last.safetensors", output / "last.safetensors",
                    [](nlohmann::json& record) { record["state"]["started"] = "20240229T235959Z"; });
  EXPECT_EQ(run(trace + resume).code, 0);
  expect_inside(30);
}

TEST_F(HostileCheckpoint, ARecordThatCannotBeIsRefusedAndNothingChanges) {
  const fs::path output = half_run();
  fs::remove(output / "last.prev.safetensors");
  const fs::path state = output / "last.safetensors", sound = folder_ / "sound";
  fs::copy_file(state, sound);
  const std::string steps = text_of(output / "steps.csv");
  const std::vector<std::string> names = names_in(output);
  const std::vector<std::pair<const char*, std::function<void(nlohmann::json&)>>> changes{
      {"fit each other", [](auto& s) { s["phase"] = 2, s["best"] = nullptr; }},
      {"out of range", [](auto& s) { s["best"]["phase"] = 339411833; }},
      {"a best epoch is missing", [](auto& s) { s["best_of_phase"][0] = nullptr; }},
      {"out of range", [](auto& s) { s["best"]["dice"] = std::bit_cast<std::uint64_t>(1e300); }},
      {"more rows", [](auto& s) { s["steps_rows"] = 1'000'000'000; }},
      {"out of range", [](auto& s) { s["epoch"] = 18446744073709551615u; }},
      {"damaged", [](auto& s) { s["plateau"] = "\x1b[2J"; }}};
  for (const auto& [says, change] : changes) {
    write_with_record(sound, state, [&](nlohmann::json& record) { change(record["state"]); });
    const std::string bytes = text_of(state);
    const ProgramResult result = run(command(output, {"--resume", "auto"}));
    EXPECT_EQ(result.code, 1) << says << result.out;
    expect_parts(result.err, {state.string(), "the record of the run is damaged", says});
    EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
    EXPECT_TRUE(text_of(state) == bytes && text_of(output / "steps.csv") == steps);
    EXPECT_EQ(names_in(output), names);
  }
}

TEST_F(HostileCheckpoint, AFlippedBitIsFoundByEveryProgram) {
  const fs::path best = alone() / "best.safetensors", bad = folder_ / "bad.safetensors";
  std::string bytes = text_of(best);
  bytes[bytes.size() - 1000] = static_cast<char>(bytes[bytes.size() - 1000] ^ 1);
  write_text(bad, bytes);
  for (const ProgramResult& result :
       {eval_unet({"-c", bad.string(), "-d", data_.string()}),
        predict_unet({"-c", bad.string(), (data_ / "images").string(), "-o", (folder_ / "out").string()}),
        run(command(folder_ / "run", {"--init", bad.string()}))}) {
    EXPECT_EQ(result.code, 1) << result.out;
    expect_parts(result.err, {bad.string(), "is damaged: the checksum of its bytes", "nothing was loaded"});
  }
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(HostileCheckpoint, AFlippedBitInTheLastStateGivesWayToTheOneBefore) {
  const Words options{"--save-every", "0"};
  const fs::path output = folder_ / "run", last = output / "last.safetensors";
  ASSERT_EQ(run_into({"signal 15", "write", "steps.csv", 9}, command(output, options), folder_.path()).code, 143);
  std::string bytes = text_of(last);
  bytes[bytes.size() - 1000] = static_cast<char>(bytes[bytes.size() - 1000] ^ 64);
  write_text(last, bytes);
  const ProgramResult named = run(command(output, options + Words{"--resume", last.string()}));
  EXPECT_EQ(named.code, 1);
  expect_parts(named.err, {last.string(), "is damaged"});
  const ProgramResult result = run(command(output, options + Words{"--resume", "auto"}));
  EXPECT_EQ(result.code, 0) << result.err;
  expect_parts(result.err, {"warning", last.string(), "is damaged", "going on from"});
  expect_as_alone(output, options);
}

TEST_F(HostileCheckpoint, Phase2BeginsWithTheRunsOwnBestAlone) {
  const fs::path output = folder_ / "run", best = output / "best_phase1.safetensors";
  const Words resume = command(output, {"--resume", "auto"});
  ASSERT_EQ(run(command(output, {"--max-steps", "15"})).code, 0);  // all of phase 1
  const std::string own = text_of(best);
  // Of another run with the same options but for the seed; of this one, but another epoch.
  const fs::path foreign = alone({"--seed", "7"}) / "best_phase1.safetensors";
  fs::path worse;
  for (const std::string& name : names_in(alone({"--keep", "all"}))) {
    const fs::path path = alone({"--keep", "all"}) / name;
    if (name.find("_phase1_") != name.npos && tensors_of(path) != tensors_of(best)) worse = path;
  }
  ASSERT_FALSE(worse.empty());
  for (const fs::path& other : {foreign, worse}) {
    fs::copy_file(other, best, fs::copy_options::overwrite_existing);
    const ProgramResult result = run(resume);
    EXPECT_EQ(result.code, 1) << result.out;
    expect_parts(result.err, {best.string(), "is not the file that this run saved after epoch", "phase 1",
                              "--resume auto", "--init"});
  }
  write_text(best, own);
  EXPECT_EQ(run(resume).code, 0);
  expect_as_alone(output);
}

TEST_F(HostileCheckpoint, ASizeBeyondTheMemoryIsRefused) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's own memory is larger than any limit";
  const fs::path huge = folder_ / "huge.safetensors";
  write_with_metadata(alone() / "best.safetensors", huge,
                      [](auto& metadata) { metadata["image_size"] = "16384x8192"; });
  const Words limited{"bash", "-c", "ulimit -v 2000000; exec \"$@\"", "bash"};
  const Words eval{program("eval_unet"), "-c", huge.string(), "-d", data_.string(), "--split", "val", "--threads", "1"};
  const Words predict{program("predict_unet"),
                      "-c",
                      huge.string(),
                      (data_ / "images" / "p000.png").string(),
                      "-o",
                      (folder_ / "out").string(),
                      "--threads",
                      "1"};
  for (const Words& words : {eval, predict}) {
    const ProgramResult result = run(limited + words);
    EXPECT_EQ(result.code, 1) << result.out;
    expect_parts(result.err, {huge.string(), "of 16384x8192 pixels", "MiB are available", "smaller --image-size, of "});
    EXPECT_EQ(run(limited + words + Words{"--image-size", "32"}).code, 0);
  }
  EXPECT_NE(run(limited + eval).err.find("--batch-size"), std::string::npos);
  EXPECT_EQ(run(limited + predict).err.find("--batch-size"), std::string::npos);
}

}  // namespace
}  // namespace unet::test::hostile_checkpoint_test
