// A disk that is full, read-only or broken: exit 1 and a message with path, bytes needed and free; what was there stays
// whole, and when there is room again the run goes on exactly.
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "engine/io/safetensors.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::disk_test {
namespace {

class Disk : public TinyTraining {
 protected:
  const Words options_{"--save-every", "0", "-e", "2", "--phase2-epochs", "1"};
  const fs::path output_ = folder_ / "run";

  /// After a run that ended with exit code 1: whole checkpoints, no temporary, and a resume that ends as it should.
  void expect_mendable(const ProgramResult& ended, const std::string& where) {
    EXPECT_EQ(ended.code, 1) << where << ended.err;
    EXPECT_TRUE(ended.err.starts_with("train_unet: ")) << where << ended.err;
    bool saved = false;
    for (const std::string& name : names_in(output_)) {
      EXPECT_EQ(name.find(".tmp-"), std::string::npos) << name << " after " << where;
      if (name.ends_with(".safetensors")) {
        EXPECT_NO_THROW(tensors_of(output_ / name)) << name << " after " << where;
      }
      saved = saved || name == "last.safetensors" || name == "last.prev.safetensors";
    }
    const ProgramResult resumed =
        run(command(output_, options_ + (saved ? Words{"--resume", "auto"} : Words{"--overwrite"})));
    EXPECT_EQ(resumed.code, 0) << where << ": " << resumed.err;
    expect_as_alone(output_, options_);
  }
};

TEST_F(Disk, FullAtAnyWriteOfARun) {
  const std::vector<std::string> writes = calls_of(command(output_, options_), folder_.path(), "write", "run/");
  ASSERT_GT(writes.size(), 500u);
  const std::size_t step = long_run() ? 1 : 97;
  int count = 0;
  for (std::size_t at = 1; at <= writes.size(); at += at < 4 ? 1 : step) {
    const std::string where = fmt::format("write {}: {}", at, writes[at - 1]);
    fs::remove_all(output_);
    // From here on no file takes a byte: ENOSPC is 28.
    const auto [ended, seen] =
        logged_run_into({fmt::format("errors {}", ENOSPC), "write", "run/", static_cast<long>(at)},
                        command(output_, options_), folder_.path());
    // A row of a step may come before or after a call of a save.
    std::string file = seen.at(at - 1).substr(10);  // less "write run/"
    file = file.substr(0, file.find(".tmp-"));
    if (file.starts_with("unet_")) file = file.substr(file.find("_phase"));  // less the time of the start
    expect_parts(ended.err, {output_.string(), file, "No space left on device", " bytes needed, ", " bytes free",
                             "free some space"});
    expect_mendable(ended, where);
    if (HasFailure()) FAIL() << where;
    ++count;
  }
  RecordProperty("writes", count);
}

TEST_F(Disk, AnyCallThatFailsOnce) {
  const std::vector<std::string> calls =
      calls_of(command(output_, options_), folder_.path(), "open write fsync rename unlink", "run/");
  const std::size_t step = long_run() ? 1 : 149;
  // Of each kind the first few, and then one in so many of all.
  std::map<std::string, int> seen;
  int count = 0, unnoticed = 0;
  for (std::size_t at = 1; at <= calls.size(); ++at) {
    const std::string kind = calls[at - 1].substr(0, calls[at - 1].find(' '));
    if (++seen[kind] > (kind == "write" ? 0 : 2) && at % step != 0) continue;
    const std::string where = fmt::format("call {}: {}", at, calls[at - 1]);
    fs::remove_all(output_);
    const ProgramResult ended = run_into({fmt::format("error {}", at % 2 == 0 ? EIO : EROFS),
                                          "open write fsync rename unlink", "run/", static_cast<long>(at)},
                                         command(output_, options_), folder_.path());
    ++count;
    // An open that only reads the metrics back is no write; its failure ends the run as well.
    expect_parts(ended.err, {output_.string(), at % 2 == 0 ? "Input/output error" : "Read-only file system"});
    expect_mendable(ended, where);
    unnoticed += ended.code == 0;
    if (HasFailure()) FAIL() << where;
  }
  EXPECT_EQ(unnoticed, 0);
  RecordProperty("calls", count);
}

TEST_F(Disk, ASmallRealOneFillsUp) {
  const fs::path disk = folder_ / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1600k") != 0) {
    GTEST_SKIP() << "a small tmpfs may not be mounted here: " << std::strerror(errno);
  }
  const Words keep_all{"--keep", "all"};
  const ProgramResult full = run(command(disk / "run", keep_all));
  EXPECT_EQ(full.code, 1);
  expect_parts(full.err, {(disk / "run").string(), "No space left on device", " bytes needed, ", " bytes free"});
  for (const std::string& name : names_in(disk / "run")) {
    if (name.ends_with(".safetensors")) {
      EXPECT_NO_THROW(tensors_of(disk / "run" / name)) << name;
    }
    EXPECT_EQ(name.find(".tmp-"), std::string::npos) << name;
  }
  const auto before = tensors_of(disk / "run" / "last.safetensors");
  ::mount(nullptr, disk.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
  const ProgramResult refused = run(command(disk / "run", keep_all + Words{"--resume", "auto"}));
  EXPECT_EQ(refused.code, 1);
  expect_parts(refused.err, {disk.string(), "Read-only file system"});
  EXPECT_TRUE(tensors_of(disk / "run" / "last.safetensors") == before);
  ::mount(nullptr, disk.c_str(), nullptr, MS_REMOUNT, "size=20m");
  const ProgramResult resumed = run(command(disk / "run", keep_all + Words{"--resume", "auto"}));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  expect_as_alone(disk / "run", keep_all);
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

TEST_F(Disk, AnotherFileThatFindsNoInodeSaysSo) {
  const fs::path disk = folder_ / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=20m,nr_inodes=5") != 0) {
    GTEST_SKIP() << "a tmpfs with few inodes may not be mounted here: " << std::strerror(errno);
  }
  const ProgramResult full = run(command(disk / "run", options_));
  EXPECT_EQ(full.code, 1);
  expect_parts(full.err, {(disk / "run").string(), "No space left on device", "all of its 5 inodes are taken"});
  EXPECT_EQ(full.err.find("bytes free"), std::string::npos) << full.err;
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

TEST_F(Disk, AFullDeviceIsAnError) {
  if (!fs::is_character_file("/dev/full")) GTEST_SKIP() << "/dev/full is absent";
  const ProgramResult eval =
      eval_unet({"-c", (alone() / "best.safetensors").string(), "-d", data_.string(), "--json", "/dev/full"});
  EXPECT_EQ(eval.code, 1);
  expect_parts(eval.err, {"/dev/full", "No space left on device", " bytes needed"});
  const ProgramResult train = run(command("/dev/full"));
  EXPECT_EQ(train.code, 1);
  expect_parts(train.err, {"output folder /dev/full", "--output"});
  fs::create_directory(output_);
  fs::create_symlink("/dev/full", output_ / "steps.csv");
  const ProgramResult rows = run(command(output_, {"--overwrite"}));
  EXPECT_EQ(rows.code, 0) << "the link is replaced: " << rows.err;
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

}  // namespace
}  // namespace unet::test::disk_test
