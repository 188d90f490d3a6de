// Names of a run's files and which of them are removed.
#include "apps/run/run_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/support/file_support.h"

namespace unet::tests::run_files_test {
namespace {

constexpr const char* kStart = "20240229T235959Z";
constexpr const char* kRun = "unet_20240229T235959Z";

TEST(RunFiles, Names) {
  EXPECT_EQ(utc_timestamp(1709251199), kStart);
  EXPECT_EQ(utc_timestamp(0), "19700101T000000Z");
  EXPECT_EQ(run_name("unet", kStart), kRun);
  EXPECT_EQ(epoch_file_name(kRun, 2, 7, 0.80649), "unet_20240229T235959Z_phase2_epoch007_dice0.8065.safetensors");
  EXPECT_EQ(epoch_file_name(kRun, 1, 1234, 1), "unet_20240229T235959Z_phase1_epoch1234_dice1.0000.safetensors");
  EXPECT_EQ(epoch_file_name(kRun, 1, 1, 0), "unet_20240229T235959Z_phase1_epoch001_dice0.0000.safetensors");
  for (const double dice : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_NE(error_of([&] { epoch_file_name(kRun, 1, 1, dice); }), "");
  }
}

TEST(RunFiles, ATimestampHasItsForm) {
  for (const char* good : {kStart, "19700101T000000Z", "99991231T235960Z"}) EXPECT_TRUE(is_timestamp(good)) << good;
  for (const char* bad :
       {"", "d/../../../escaped", "20240229T235959", "20240229T235959z", "20240229 235959Z", "20241329T235959Z",
        "20240229T245959Z", "20240200T235959Z", "2024022/T235959Z", "20240229T235959Z ", "-0240229T235959Z"}) {
    EXPECT_FALSE(is_timestamp(bad)) << bad;
  }
  EXPECT_TRUE(is_epoch_file(epoch_file_name(kRun, 1, 2, 0.5), kRun));
  EXPECT_FALSE(is_epoch_file(epoch_file_name("unet_20240301T000000Z", 1, 2, 0.5), kRun));
  EXPECT_FALSE(is_epoch_file(epoch_file_name(run_name("other", kStart), 1, 2, 0.5), kRun)) << "of another network";
  EXPECT_FALSE(is_epoch_file(epoch_file_name("unet_", 1, 2, 0.5), "unet_"));
}

TEST(RunFiles, ABestFileAPhase) {
  EXPECT_EQ(best_file_name(12), "best_phase12.safetensors");
  EXPECT_TRUE(is_best_file("best_phase3.safetensors"));
  for (const char* other : {"best.safetensors", "best_phase.safetensors", "best_phase03.safetensors",
                            "best_phase3.safetensors.bak", "my_best_phase3.safetensors", ""}) {
    EXPECT_FALSE(is_best_file(other)) << other;
  }
}

TEST(RunFiles, RetentionKeepsTheNewestTheSparedAndWhatItDoesNotKnow) {
  const TemporaryFolder folder;
  std::vector<std::string> own;
  for (int phase = 1; phase <= 2; ++phase) {
    for (const int epoch : {1, 2, 10, 1000}) own.push_back(epoch_file_name(kRun, phase, epoch, 0.5 + phase / 1e4));
  }
  const std::vector<std::string> foreign = {
      "best.safetensors",
      "notes.txt",
      epoch_file_name("unet_20240301T000000Z", 1, 1, 0.5),
      "unet_20240229T235959Z_phase1_epoch1_dice0.5000.safetensors",
      "unet_20240229T235959Z_phase1_epoch001_dice0.50.safetensors",
      "unet_20240229T235959Z_phase1_epoch001_dice0.5000.safetensors.bak",
      "unet_20240229T235959Z_phase1_epoch001_dice0.5000.safetensors.tmp-1-1",
      "unet_20240229T235959Z_phase-1_epoch001_dice0.5000.safetensors",
      "unet_20240229T235959Z_phase1_epoch99999999999_dice0.5000.safetensors",
      "my_unet_20240229T235959Z_phase1_epoch001_dice0.5000.safetensors",
  };
  for (const auto& names : {own, foreign}) {
    for (const std::string& name : names) write_file(folder / name, "x");
  }
  const std::string linked = epoch_file_name(kRun, 1, 3, 0.25);
  std::filesystem::create_symlink("notes.txt", folder / linked);
  const std::string folder_named_so = epoch_file_name(kRun, 1, 4, 0.25);
  std::filesystem::create_directory(folder / folder_named_so);

  EXPECT_EQ(remove_old_epoch_files(folder.path(), kRun, 100, {}), std::vector<std::string>{});
  // Newest first: phase 2 epochs 1000, 10, 2 stay, then 1 goes, phase 1 goes but for the spared.
  EXPECT_EQ(remove_old_epoch_files(folder.path(), kRun, 3, {own[1]}),
            (std::vector<std::string>{own[4], own[3], own[2], own[0]}));
  std::vector<std::string> left = foreign;
  left.insert(left.end(), {own[1], own[5], own[6], own[7], linked, folder_named_so});
  std::sort(left.begin(), left.end());
  EXPECT_EQ(folder.names(), left);
  EXPECT_NE(error_of([&] { remove_old_epoch_files(folder / "absent", kRun, 3, {}); }).find("cannot list"),
            std::string::npos);
}

}  // namespace
}  // namespace unet::tests::run_files_test
