// How a folder is split, from outside: few pictures, groups, a test list alone or none, and what the programs say of
// it.
#include <fmt/core.h>

#include "engine/io/safetensors.h"
#include "tests/apps/small_data.h"

namespace unet::test::splits_test {
namespace {

class Splits : public testing::Test {
 protected:
  /// Pairs without lists, of two slices a patient: a0_x, a0_y, a1_x, ...
  Splits() {
    write_small_pairs(data_, 10, 0, 32, 32);
    fs::remove(data_ / "train.txt");
    fs::remove(data_ / "val.txt");
    for (const char* folder : {"images", "masks"}) {
      for (int i = 0; i < 10; ++i) {
        fs::rename(data_ / folder / fmt::format("t{:03}.png", i),
                   data_ / folder / fmt::format("a{}_{}.png", i / 2, i % 2 ? 'y' : 'x'));
      }
    }
  }

  ProgramResult train(const Words& words) const {
    return train_unet(small_run(data_, run_, Words{"--phase2-epochs", "0"} + words));
  }
  ProgramResult eval(const Words& words) const {
    return eval_unet(Words{"-c", (run_ / "best.safetensors").string(), "-d", data_.string(), "--threads", "1"} + words);
  }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", run_ = folder_ / "run";
};

TEST_F(Splits, AllIsEveryPairOrWhatTheListsName) {
  ASSERT_EQ(train({}).code, 0);
  const ProgramResult all = eval({"--split", "all"});
  EXPECT_EQ(all.code, 0) << all.err;
  expect_parts(all.out, {"on 10 images (all of ", "split: 80/10/10 by a hash of the stems"});
  write_text(data_ / "test.txt", "a0_x\na0_y.png\n");
  for (const char* split : {"all", "test"}) {
    const ProgramResult listed = eval({"--split", split});
    EXPECT_EQ(listed.code, 0) << listed.err;
    expect_parts(listed.out, {"on 2 images", "0 train, 0 val, 2 test", "images that no list names: 8", "taken off: 1"});
  }
  const ProgramResult none = eval({"--split", "trainval"});
  EXPECT_EQ(none.code, 1);
  expect_parts(none.err, {"split trainval is empty", "test 2"});
}

TEST_F(Splits, OfOnePictureAreAnErrorInTrainingOnly) {
  ASSERT_EQ(train({}).code, 0);
  for (const char* folder : {"images", "masks"}) {
    for (const std::string& name : names_in(data_ / folder)) {
      if (name != "a0_x.png") fs::remove(data_ / folder / name);
    }
  }
  const ProgramResult one = train({"--overwrite"});
  EXPECT_EQ(one.code, 1);
  expect_parts(one.err, {"is empty", "at least 2 pictures", "one to validate on"});
  expect_parts(eval({"--split", "all"}).out, {"on 1 images"});
}

TEST_F(Splits, GroupsAreTheCheckpointsToo) {
  const std::string pattern = "^(a[0-9])_";
  const ProgramResult trained = train({"--group-by", pattern});
  ASSERT_EQ(trained.code, 0) << trained.err;
  expect_parts(trained.out, {"by a hash of 5 groups", " --group-by='" + pattern + "'\n"});
  EXPECT_EQ(SafetensorsFile(run_ / "best.safetensors").metadata().at("group_by"), pattern);

  const ProgramResult without = eval({"--split", "val"}), other = eval({"--split", "val", "--group-by", "(.)$"});
  for (const ProgramResult* result : {&without, &other}) {
    EXPECT_EQ(result->code, 1);
    expect_parts(result->err, {"best.safetensors", "was trained with --group-by='" + pattern + "'", "--split all"});
  }
  const ProgramResult same = eval({"--split", "val", "--group-by", pattern});
  EXPECT_EQ(same.code, 0) << same.err;
  expect_parts(same.out, {"by a hash of 5 groups"});
  EXPECT_EQ(eval({"--split", "all"}).code, 0);
  write_text(data_ / "test.txt", "a0_x\n");
  EXPECT_EQ(eval({}).code, 0) << "a list needs no groups";
}

TEST_F(Splits, OfACheckpointWithoutGroupsAreNotGrouped) {
  ASSERT_EQ(train({}).code, 0);
  const ProgramResult result = eval({"--split", "val", "--group-by", "(.)_"});
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"was trained without --group-by", "leave --group-by out"});
}

TEST_F(Splits, ARunIsNotResumedWithOtherGroups) {
  ASSERT_EQ(train({"--group-by", "^(a[0-9])_"}).code, 0);
  const ProgramResult resumed = train({"--resume", "auto"});
  EXPECT_EQ(resumed.code, 1);
  expect_parts(resumed.err, {"--group-by was ^(a[0-9])_, is none"});
}

TEST_F(Splits, PatternsThatAreNoneAreWrongUse) {
  for (const auto& [pattern, says] :
       {std::pair{"(a", "no regular expression"}, {"a", "no capture group"}, {"", "is empty"}}) {
    for (const ProgramResult& result : {train({"--group-by", pattern}), eval({"--group-by", pattern})}) {
      EXPECT_EQ(result.code, 2) << pattern;
      expect_parts(result.err, {"--group-by", says});
    }
  }
  const ProgramResult unmatched = train({"--group-by", "^(b)"});
  EXPECT_EQ(unmatched.code, 1);
  expect_parts(unmatched.err, {"a0_x.png: \"a0_x\" has no group by \"^(b)\""});
  EXPECT_FALSE(fs::exists(run_));
}

}  // namespace
}  // namespace unet::test::splits_test
