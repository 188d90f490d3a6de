// predict_unet: a mask and an overlay for each photograph, at the photograph's own size.
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <thread>

#include "apps/run/overlay.h"
#include "tests/apps/faults.h"
#include "tests/apps/small_data.h"

namespace unet::test::predict_test {
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

TEST_F(Predict, GoesOnAfterBrokenFilesAndListsThemAtTheEnd) {
  const fs::path photos = out_ / "photos";
  fs::copy(*folder_ / "photos", photos);
  std::vector<std::uint8_t> cut = encode_jpeg(small_picture(97, 61, 80).photo);
  cut.resize(cut.size() / 2);
  write_bytes(photos / "cut.jpg", cut);
  fs::create_directory(photos / "folder.png");
  fs::create_symlink("nowhere", photos / "gone.png");
  const ProgramResult result = predict({photos.string()}, out_ / "masks");
  EXPECT_EQ(result.code, 1);
  expect_parts(result.out, {"2 of 4 images in ", " images/s", "cut.jpg: not predicted",
                            "left out (no .jpg, .jpeg or .png): 1, the first: "});
  expect_parts(result.err, {"2 of 4 images", (photos / "cut.jpg").string(), (photos / "gone.png").string()});
  EXPECT_EQ(names_in(out_ / "masks"),
            (std::vector<std::string>{"one_mask.png", "one_overlay.png", "two_mask.png", "two_overlay.png"}));
}

TEST_F(Predict, SubFoldersAreKept) {
  const fs::path photos = out_ / "photos";
  fs::create_directories(photos / "b" / "deep");
  fs::create_directories(photos / ".hidden");
  for (const char* name : {"one.png", "b/one.png", "b/deep/one.png", ".hidden/one.png"}) {
    fs::copy_file(photo("one.png"), photos / name);
  }
  ASSERT_EQ(predict({photos.string(), "--no-overlay"}, out_ / "masks").code, 0);
  EXPECT_EQ(names_in(out_ / "masks"), (std::vector<std::string>{"b", "one_mask.png"}));
  EXPECT_EQ(names_in(out_ / "masks" / "b"), (std::vector<std::string>{"deep", "one_mask.png"}));
  EXPECT_EQ(names_in(out_ / "masks" / "b" / "deep"), (std::vector<std::string>{"one_mask.png"}));
}

TEST_F(Predict, ItsOwnPicturesAreNoInputs) {
  const fs::path photos = out_ / "photos";
  fs::copy(*folder_ / "photos", photos);
  ASSERT_EQ(predict({photos.string(), "--probabilities"}, photos).code, 0);
  const std::vector<std::string> names = names_in(photos);
  EXPECT_EQ(names.size(), 3u + 2 * 4);
  const ProgramResult again = predict({photos.string(), "--probabilities"}, photos);
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(names_in(photos), names);
  expect_parts(again.out, {"left out (made by this program): 8", "2 of 2 images"});
  const ProgramResult none = predict({(photos / "one_mask.png").string()}, out_ / "masks");
  EXPECT_EQ(none.code, 1);
  expect_parts(none.err, {"one_mask.png", "made"});
}

TEST_F(Predict, NothingIsReplacedThatItDidNotMake) {
  const fs::path photos = out_ / "photos", masks = out_ / "masks";
  fs::copy(*folder_ / "photos", photos);
  fs::create_directory(masks);
  fs::copy_file(checkpoint_, out_ / "net");
  const std::string drawn = "a mask that took hours to draw";
  const auto refused = [&](const Words& inputs, const fs::path& output, const fs::path& kept) {
    const std::string before = text_of(kept);
    const ProgramResult result = predict_unet(Words{"-c", (out_ / "net").string(), "-o", output.string()} + inputs);
    EXPECT_EQ(result.code, 1) << kept;
    expect_parts(result.err, {"was not made by this program"});
    EXPECT_TRUE(text_of(kept) == before) << kept << " was overwritten";
    EXPECT_EQ(result.out.find("two.JPG: "), std::string::npos) << "something ran";
  };
  write_text(masks / "one_mask.png", drawn);
  refused({photos.string()}, masks, masks / "one_mask.png");
  fs::remove(masks / "one_mask.png");
  fs::create_symlink(photos / "one.png", masks / "one_overlay.png");
  refused({photos.string()}, masks, photos / "one.png");
  fs::remove(masks / "one_overlay.png");
  fs::create_hard_link(out_ / "net", masks / "two_mask.png");
  refused({photos.string()}, masks, out_ / "net");
  fs::copy_file(photos / "one.png", photos / "two_mask.png");  // a photograph of that name
  refused({photos.string()}, photos, photos / "two_mask.png");
}

TEST_F(Predict, SeveralClassesMakeAPaletteThatReadsBackAsClasses) {
  write_small_pairs(out_ / "pairs", 16, 2, 40, 48, 3);
  ASSERT_EQ(train_unet(small_run(out_ / "pairs", out_ / "run",
                                 Words{"-e", "8", "--lr", "1e-2", "--classes", "3", "--phase2-epochs", "0"}))
                .code,
            0);
  const ProgramResult result =
      predict_unet({"-c", (out_ / "run" / "best.safetensors").string(), "-o", (out_ / "masks").string(),
                    (out_ / "pairs" / "images").string(), "--probabilities"});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"class 0 ", "class 1 "});
  std::set<int> found;
  for (const char* name : {"t000", "t001", "t002"}) {
    const fs::path path = out_ / "masks" / (std::string(name) + "_mask.png");
    const Image indices = load_mask(path), colours = load_image(path);
    ASSERT_EQ(colours.channels, 3);
    for (std::size_t i = 0; i < indices.pixels.size(); ++i) {
      found.insert(indices.pixels[i]);
      ASSERT_TRUE(std::equal(colours.pixels.begin() + static_cast<std::ptrdiff_t>(3 * i),
                             colours.pixels.begin() + static_cast<std::ptrdiff_t>(3 * i + 3),
                             class_colour(indices.pixels[i]).begin()));
    }
  }
  EXPECT_TRUE(found.contains(0) && found.contains(1)) << "nothing was learnt";
  EXPECT_LE(*found.rbegin(), 2);
  EXPECT_TRUE(fs::exists(out_ / "masks" / "legend.png"));
  EXPECT_TRUE(fs::exists(out_ / "masks" / "t000_prob_2.png"));
}

TEST_F(Predict, ProbabilitiesOf16BitsAddUpAndDecideTheMask) {
  ASSERT_EQ(predict({photo("one.png"), "--probabilities", "--no-overlay"}, out_ / "masks").code, 0);
  EXPECT_EQ(names_in(out_ / "masks"), (std::vector<std::string>{"one_mask.png", "one_prob_0.png", "one_prob_1.png"}));
  const Image mask = load_mask(out_ / "masks" / "one_mask.png");
  const std::string file = text_of(out_ / "masks" / "one_prob_1.png");
  EXPECT_EQ(file[24], 16) << "bits a sample";
  const Image none = load_image(out_ / "masks" / "one_prob_0.png"), one = load_image(out_ / "masks" / "one_prob_1.png");
  ASSERT_EQ(std::pair(one.width, one.height), std::pair(37, 50));
  for (std::size_t i = 0; i < mask.pixels.size(); ++i) {  // the high bytes
    EXPECT_NEAR(none.pixels[i] + one.pixels[i], 255, 1);
    if (one.pixels[i] != none.pixels[i]) {
      EXPECT_EQ(mask.pixels[i] == 255, one.pixels[i] > none.pixels[i]);
    }
  }
}

TEST_F(Predict, AFullDiskEndsTheRunAndLeavesWholePictures) {
  const fs::path masks = out_ / "masks";
  for (const char* name : {"two_mask", "two_overlay"}) {
    fs::remove_all(masks);
    const ProgramResult result = run_into(
        {fmt::format("errors {}", ENOSPC), "write", name, 1},
        {program("predict_unet"), "-c", checkpoint_.string(), "-o", masks.string(), (*folder_ / "photos").string()},
        out_.path());
    EXPECT_EQ(result.code, 1);
    expect_parts(result.err, {(masks / name).string(), "No space left on device", "free some space"});
    for (const std::string& left : names_in(masks)) EXPECT_NO_THROW(load_image(masks / left)) << left;
    EXPECT_FALSE(fs::exists(masks / (std::string(name) + ".png")));
  }
}

TEST_F(Predict, AFullScreenIsAnError) {
  const ProgramResult result = run({"sh", "-c", "exec \"$0\" \"$@\" > /dev/full", program("predict_unet"), "-c",
                                    checkpoint_.string(), "-o", (out_ / "masks").string(), photo("one.png")});
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"standard output cannot be written"});
  EXPECT_TRUE(fs::exists(out_ / "masks" / "one_mask.png"));
}

TEST(BenchStep, AFullScreenIsAnError) {
  if (!fs::exists(program("bench_step"))) GTEST_SKIP() << "bench_step is not part of this build";
  const ProgramResult result = run({"sh", "-c", "exec \"$0\" \"$@\" > /dev/full", program("bench_step"),
                                    "--base-channels", "2", "--image-size", "32", "--steps", "1", "--device", "cpu"});
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"standard output cannot be written"});
}

TEST_F(Predict, ASignalEndsTheRunAfterThePicturesUnderWay) {
  fs::create_directory(out_ / "many");
  for (int i = 0; i < 3000; ++i) fs::create_symlink(photo("one.png"), out_ / "many" / fmt::format("{}.png", i));
  BackgroundProgram running({program("predict_unet"), "-c", checkpoint_.string(), "-o", (out_ / "masks").string(),
                             "--threads", "1", (out_ / "many").string()},
                            out_ / "out");
  while (!fs::exists(out_ / "masks" / "0_mask.png") && !running.ended()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  running.send(SIGINT);
  EXPECT_EQ(running.wait(), 130);
  const std::vector<std::string> names = names_in(out_ / "masks");
  EXPECT_LT(names.size(), 6000u);
  for (const std::string& name : names) EXPECT_NO_THROW(load_image(out_ / "masks" / name)) << name;
  expect_parts(text_of(out_ / "out"), {" of 3000 images in "});
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
  expect_parts(twice.err, {"\"one\"", photo("one.png"), "overwrite each other"});
  EXPECT_FALSE(fs::exists(out_ / "twice"));

  const ProgramResult nowhere = predict({photo("one.png")}, "/dev/null/masks");
  EXPECT_EQ(nowhere.code, 1);
  expect_parts(nowhere.err, {"/dev/null/masks"});
}

}  // namespace
}  // namespace unet::test::predict_test
