// scripts/get_oxford_pets.sh against a server of our own with two tiny archives.
#include <fmt/core.h>

#include <chrono>
#include <thread>

#include "tests/apps/small_data.h"
#include "tests/support/places.h"

namespace unet::test::get_pets_script_test {
namespace {

bool available(const Words& words) {
  try {
    return run(words).code == 0;
  } catch (const Error&) {
    return false;
  }
}

class GetPets : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* tool : {"curl", "python3", "tar", "md5sum"}) {
      if (!available({tool, "--version"})) GTEST_SKIP() << tool << " is not installed";
    }
    write_small_pets(source_, 3, 2);
    for (const auto& entry : fs::directory_iterator(source_ / "images")) {
      fs::rename(entry.path(), fs::path(entry.path()).replace_extension(".jpg"));
    }
    write_text(source_ / "annotations" / "trimaps" / "._p000.png", "left behind by another system");
    fs::create_directory(served_);
    for (const char* name : {"images", "annotations"}) {
      const std::string archive = (served_ / (std::string(name) + ".tar.gz")).string();
      ASSERT_EQ(run({"tar", "-czf", archive, "-C", source_.string(), name}).code, 0);
      if (!md5_.empty()) md5_ += " ";
      md5_ += run({"md5sum", archive}).out.substr(0, 32);
    }
    server_ = std::make_unique<BackgroundProgram>(
        Words{"python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", served_.string()},
        folder_ / "log");
    for (int i = 0; i < 600 && port_ == 0; ++i) {  // a minute, on a machine that is busy
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      std::sscanf(text_of(folder_ / "log").c_str(), "Serving HTTP on 127.0.0.1 port %d", &port_);
    }
    ASSERT_NE(port_, 0) << "the server does not start";
  }

  ProgramResult get(const std::string& md5) const {
    return run({"bash", places::source("scripts/get_oxford_pets.sh"), target_.string()},
               {fmt::format("UNET_PETS_URL=http://127.0.0.1:{}", port_), "UNET_PETS_MD5=" + md5, "no_proxy=127.0.0.1"});
  }
  void expect_nothing_unpacked() const {
    EXPECT_FALSE(fs::exists(target_ / "images"));
    EXPECT_FALSE(fs::exists(target_ / "annotations"));
  }

  const Folder folder_;
  const fs::path source_ = folder_ / "source", served_ = folder_ / "served", target_ = folder_ / "pets";
  std::string md5_;
  int port_ = 0;
  std::unique_ptr<BackgroundProgram> server_;
};

TEST_F(GetPets, DownloadsUnpacksAndCounts) {
  const ProgramResult result = get(md5_);
  ASSERT_EQ(result.code, 0) << result.out << result.err;
  expect_parts(result.out, {"5 images, 5 trimaps", "3 names to train", "2 to test", "train_unet -d"});
  EXPECT_FALSE(fs::exists(target_ / "annotations" / "trimaps" / "._p000.png"));
  EXPECT_EQ(train_unet(small_run(target_, folder_ / "run", Words{"--max-steps", "1"})).code, 0) << "not usable";

  // A second run neither downloads nor unpacks: it works without a server and leaves files as they are.
  server_.reset();
  write_text(target_ / "images" / "p000.jpg", "changed since");
  const ProgramResult again = get(md5_);
  EXPECT_EQ(again.code, 0) << again.err;
  expect_parts(again.out, {"already here", "5 images"});
  EXPECT_TRUE(text_of(target_ / "images" / "p000.jpg") == "changed since") << "unpacked again";
}

TEST_F(GetPets, WrongChecksum) {
  const ProgramResult result = get(md5_.substr(0, 33) + std::string(32, '0'));
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"annotations.tar.gz", md5_.substr(33), std::string(32, '0'), "nothing was unpacked"});
  expect_nothing_unpacked();
  EXPECT_EQ(get(md5_).code, 0) << "the next run begins anew";
}

TEST_F(GetPets, NotAnArchive) {
  write_text(served_ / "images.tar.gz", "<html>Please log in</html>");
  const ProgramResult result = get(md5_);
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"images.tar.gz", "not a gzip archive"});
  expect_nothing_unpacked();
}

TEST_F(GetPets, NotFound) {
  fs::remove(served_ / "annotations.tar.gz");
  const ProgramResult result = get(md5_);
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"annotations.tar.gz", "could not be downloaded", "UNET_PETS_URL"});
  expect_nothing_unpacked();
}

TEST_F(GetPets, ContinuesWhereTheServerCannot) {
  // This server knows no byte ranges: what is left of an interrupted download must not stop the script for good.
  const std::string whole = text_of(served_ / "images.tar.gz");
  write_text(target_ / "images.tar.gz.part", whole.substr(0, whole.size() / 2));
  EXPECT_EQ(get(md5_).code, 0);
  fs::remove_all(target_);
  write_text(target_ / "images.tar.gz.part", whole);
  const ProgramResult complete = get(md5_);
  EXPECT_EQ(complete.code, 0) << complete.err;
}

}  // namespace
}  // namespace unet::test::get_pets_script_test
