// predict_unet: a mask and an overlay for each photograph, at the photograph's own size.
#include <algorithm>
#include <set>

#include "tests/programs/small_data.h"

namespace unet::test {
namespace {

class Predict : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<Folder>();
    write_small_pets(*folder_ / "pets", 20, 1);
    checkpoint_ = small_checkpoint(*folder_ / "pets", *folder_ / "run");
    one_ = off_centre(50, 37);
    write_bytes(*folder_ / "photos" / "one.png", encode_png(one_.photo));
    write_bytes(*folder_ / "photos" / "two.JPG", encode_jpeg(small_picture(98, 61, 80).photo));
    write_text(*folder_ / "photos" / "notes.txt", "no picture");
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static ProgramResult predict(const Words& words, const fs::path& output) {
    return predict_unet(Words{"-c", checkpoint_.string(), "-o", output.string(), "--threads", "1"} + words);
  }
  static std::string photo(const std::string& name) { return (*folder_ / "photos" / name).string(); }

  /// A picture whose disc lies in the upper left quarter, so that a mirrored or turned mask is a wrong one.
  static SmallPicture off_centre(int height, int width) {
    for (std::uint64_t index = 0;; ++index) {
      SmallPicture picture = small_picture(index, height, width);
      const auto label = [&](int y, int x) { return picture.labels.row(y)[x]; };
      if (label(height / 3, width / 3) == 1 && label(height / 2, width / 2) == 0) return picture;
    }
  }

  const Folder out_;
  static inline std::unique_ptr<Folder> folder_;
  static inline fs::path checkpoint_;
  static inline SmallPicture one_;
};

TEST_F(Predict, MaskAndOverlayAtThePhotographsSize) {
  const ProgramResult result = predict({photo("one.png")}, out_ / "masks");
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"one.png", "% foreground", "one_mask.png"});
  EXPECT_EQ(names_in(out_ / "masks"), (std::vector<std::string>{"one_mask.png", "one_overlay.png"}));
  const Image mask = load_mask(out_ / "masks" / "one_mask.png");
  EXPECT_EQ(std::pair(mask.width, mask.height), std::pair(37, 50));
  EXPECT_EQ(std::set<int>(mask.pixels.begin(), mask.pixels.end()), (std::set<int>{0, 255}));
  int both = 0, either = 0;
  for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
    both += mask.pixels[i] == 255 && one_.labels.pixels[i] == 1;
    either += mask.pixels[i] == 255 || one_.labels.pixels[i] == 1;
  }
  EXPECT_GT(both, 0.5 * either) << "the mask is not that of the photograph";
  const Image overlay = load_image(out_ / "masks" / "one_overlay.png");
  EXPECT_EQ(std::pair(overlay.width, overlay.height), std::pair(37, 50));
}

TEST_F(Predict, AThresholdNeedsABackground) {
  ASSERT_EQ(train_unet(small_run(*folder_ / "pets", out_ / "run", Words{"-e", "1", "--background", "none"})).code, 0);
  const ProgramResult result = predict_unet({"-c", (out_ / "run" / "best.safetensors").string(), "-o",
                                             (out_ / "masks").string(), "--threshold", "0.5", photo("one.png")});
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"--threshold", "--background none"});
}

TEST_F(Predict, ThresholdFromAllToNothing) {
  const auto share = [&](const Words& words) {
    EXPECT_EQ(predict(Words{photo("one.png")} + words, out_ / "masks").code, 0);
    const Image mask = load_mask(out_ / "masks" / "one_mask.png");
    return static_cast<double>(std::count(mask.pixels.begin(), mask.pixels.end(), 255)) /
           static_cast<double>(mask.pixels.size());
  };
  EXPECT_EQ(share({"--threshold", "0"}), 1);
  EXPECT_EQ(share({"--threshold", "1"}), 0);
  EXPECT_EQ(share({"--threshold", "0.5"}), share({})) << "of two classes the more probable one is at least 0.5";
  EXPECT_LE(share({"--threshold", "0.8"}), share({"--threshold", "0.2"}));
  EXPECT_EQ(predict({photo("one.png"), "--threshold", "2"}, out_ / "masks").code, 2);
}

TEST_F(Predict, AFolderMeansTheImagesInIt) {
  const ProgramResult result = predict({(*folder_ / "photos").string()}, out_ / "masks");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(names_in(out_ / "masks"),
            (std::vector<std::string>{"one_mask.png", "one_overlay.png", "two_mask.png", "two_overlay.png"}));
  const Image mask = load_mask(out_ / "masks" / "two_mask.png");
  EXPECT_EQ(std::pair(mask.width, mask.height), std::pair(80, 61));
  fs::create_directory(out_ / "empty");
  const ProgramResult empty = predict({(out_ / "empty").string()}, out_ / "none");
  EXPECT_EQ(empty.code, 1);
  expect_parts(empty.err, {"empty", "holds no .jpg"});
}

TEST_F(Predict, WhatCannotBePredicted) {
  write_text(out_ / "broken.png", "\x89PNG\r\n\x1a\n and then nothing");
  const ProgramResult broken = predict({(out_ / "broken.png").string()}, out_ / "masks");
  EXPECT_EQ(broken.code, 1);
  expect_parts(broken.err, {"predict_unet: ", (out_ / "broken.png").string()});

  const ProgramResult missing = predict({photo("none.png")}, out_ / "masks");
  EXPECT_EQ(missing.code, 1);
  expect_parts(missing.err, {photo("none.png"), "no such image or folder"});

  fs::create_directory(out_ / "other");
  fs::copy_file(photo("one.png"), out_ / "other" / "one.png");
  const ProgramResult twice = predict({photo("one.png"), (out_ / "other" / "one.png").string()}, out_ / "twice");
  EXPECT_EQ(twice.code, 1);
  expect_parts(twice.err, {"\"one\"", "overwrite each other"});
  EXPECT_FALSE(fs::exists(out_ / "twice"));

  const ProgramResult nowhere = predict({photo("one.png")}, "/dev/null/masks");
  EXPECT_EQ(nowhere.code, 1);
  expect_parts(nowhere.err, {"/dev/null/masks"});
}

}  // namespace
}  // namespace unet::test
