// Runs on crops, pictures by tiles, and views (--tta), from outside.
#include <nlohmann/json.hpp>

#include "engine/io/csv.h"
#include "engine/train/checkpoint.h"
#include "tests/apps/checkpoint_edit.h"
#include "tests/apps/tiny_training.h"
#include "tests/support/long_run.h"

namespace unet::test::crops_test {
namespace {

/// Pictures of 40 to 55 pixels a side and crops of 32: one a picture, or two.
class CropRun : public TinyTraining {
 protected:
  fs::path trained(const char* name, const Words& more) const {
    const ProgramResult result = run(command(folder_ / name, more));
    EXPECT_EQ(result.code, 0) << result.err;
    return folder_ / name;
  }
  nlohmann::json evaluated(const fs::path& checkpoint, const Words& more) const {
    const fs::path json = folder_ / "figures.json";
    const ProgramResult result = eval_unet(
        Words{"-c", checkpoint.string(), "-d", data_.string(), "--split", "all", "--json", json.string()} + more);
    EXPECT_EQ(result.code, 0) << result.err;
    return nlohmann::json::parse(text_of(json));
  }
};

const Words kCrops{"--crop", "32", "--crops-per-image", "2"};

TEST_F(CropRun, TrainsIsRecordedAndKnownByItsCheckpoint) {
  const fs::path output = folder_ / "run";
  const ProgramResult result = run(command(output, kCrops));
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"crops 32", "phase 2: dice from the best of phase 1"});
  const nlohmann::json options = nlohmann::json::parse(text_of(output / "run.json"))["options"];
  EXPECT_EQ(options["crop"], "32");
  EXPECT_EQ(options["crops-per-image"], "2");
  EXPECT_EQ(read_csv(output / "steps.csv").rows.size(), 5u * 10) << "5 epochs of 20 crops in batches of 2";
  const Metadata metadata = SafetensorsFile(output / "best.safetensors").metadata();
  EXPECT_EQ(metadata.at("crop"), "32x32");
  EXPECT_EQ(metadata.at("image_size"), "32x32");
  EXPECT_FALSE(SafetensorsFile(alone() / "best.safetensors").metadata().contains("crop"));
}

TEST_F(CropRun, KilledAnywhereItGoesOnExactly) {
  const Words options = kCrops + Words{"--save-every", "0"};
  const fs::path output = folder_ / "run";
  for (const long at : {4L, 27L, 38L}) {
    fs::remove_all(output);
    ASSERT_EQ(run_into({"signal 9", "write", "steps.csv", at}, command(output, options), folder_.path()).code, 137);
    const ProgramResult resumed = run(command(output, options + Words{"--resume", "auto", "-j", "2"}));
    ASSERT_EQ(resumed.code, 0) << at << resumed.err;
    expect_as_alone(output, options);
  }
  const ProgramResult other = run(command(output, {"--save-every", "0", "--resume", "auto", "--crop", "48"}));
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"--crop was 32, is 48", "--crops-per-image was 2, is 1"});
  const ProgramResult whole = run(command(output, {"--save-every", "0", "--resume", "auto"}));
  EXPECT_EQ(whole.code, 1);
  expect_parts(whole.err, {"--crop was 32, is none"});
}

TEST_F(CropRun, ValidationIsWhatEvalUnetSaysOfTheCheckpoint) {
  for (const Words& more : {Words{}, Words{"--phase1-loss", "cross_entropy + 0.5 dice"}}) {
    const fs::path output = trained("run", kCrops + more + Words{"--phase2-epochs", "0", "-e", "2", "--overwrite"});
    const CsvTable rows = read_csv(output / "metrics.csv");
    const std::string epoch = SafetensorsFile(output / "best.safetensors").metadata().at("epoch");
    const auto& row = rows.rows[std::stoul(epoch) - 1];
    const fs::path json = folder_ / "val.json";
    ASSERT_EQ(eval_unet({"-c", (output / "best.safetensors").string(), "-d", data_.string(), "--split", "val", "--json",
                         json.string(), "--threads", "1"})
                  .code,
              0);
    const nlohmann::json figures = nlohmann::json::parse(text_of(json));
    EXPECT_NEAR(std::stod(row[rows.column("val_dice")]), figures["dice"].get<double>(), 1e-6);
    EXPECT_NEAR(std::stod(row[rows.column("val_cross_entropy")]), figures["cross_entropy"].get<double>(), 1e-5);
    EXPECT_EQ(figures["dice"], figures["dice_native"]) << "tiles are at the masks' own size";
  }
}

// The figures of tiles from what predict_unet writes by tiles: masks, and probabilities in 16 bits.
TEST_F(CropRun, EvaluationIsThatOfThePicturesThatPredictUnetMakes) {
  const fs::path checkpoint = small_checkpoint(data_, folder_ / "run"), masks = folder_ / "masks";
  for (const Words& how :
       {Words{"--tile", "32"}, {"--tile", "24x40", "--tta", "flip"}, {"--tile", "32", "--tta", "flip+scale"}}) {
    ASSERT_EQ(predict_unet(Words{"-c", checkpoint.string(), "-o", masks.string(), (data_ / "images").string(),
                                 "--probabilities", "--no-overlay"} +
                           how)
                  .code,
              0);
    double nll = 0, counted = 0, dice = 0;
    const std::vector<std::string> names = names_in(data_ / "images");
    for (const std::string& name : names) {
      const std::string base = (masks / fs::path(name).stem()).string();
      const Image mask = load_mask(base + "_mask.png"), truth = load_mask(data_ / "annotations" / "trimaps" / name);
      std::int64_t both = 0, either = 0;
      std::array<Image, 2> p{load_image(base + "_prob_0.png"), load_image(base + "_prob_1.png")};  // 8 of 16 bits
      for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
        const bool is = truth.pixels[i] != 2, claimed = mask.pixels[i] == 255;
        both += is && claimed;
        either += is + claimed;
        nll -= std::log((p[is].pixels[i] + 0.5) / 256);
        ++counted;
        ASSERT_EQ(claimed, p[1].pixels[i] > p[0].pixels[i] || (claimed && p[1].pixels[i] == p[0].pixels[i]));
      }
      dice += 2.0 * static_cast<double>(both) / static_cast<double>(either);
    }
    const nlohmann::json figures = evaluated(checkpoint, how);
    EXPECT_NEAR(figures["dice"].get<double>(), dice / static_cast<double>(names.size()), 1e-9) << how[1];
    EXPECT_NEAR(figures["cross_entropy"].get<double>(), nll / counted, 5e-3) << how[1];
    EXPECT_EQ(figures["images"], names.size());
  }
}

TEST_F(CropRun, ATileOfAPicturesSizeIsThePicture) {
  const fs::path checkpoint = small_checkpoint(data_, folder_ / "run");
  write_bytes(folder_ / "photos" / "a.png", encode_png(small_picture(5, 48, 32).photo));
  const auto predicted = [&](const char* name, const Words& how) {
    EXPECT_EQ(predict_unet(Words{"-c", checkpoint.string(), "-o", (folder_ / name).string(),
                                 (folder_ / "photos").string(), "--probabilities"} +
                           how)
                  .code,
              0);
    std::string all;
    for (const std::string& file : names_in(folder_ / name)) all += file + text_of(folder_ / name / file);
    return all;
  };
  const std::string whole = predicted("whole", {"--image-size", "48x32"});
  EXPECT_TRUE(predicted("tile", {"--tile", "48x32"}) == whole) << "the same files byte for byte";
  EXPECT_TRUE(predicted("other", {"--tile", "32x32"}) != whole);
  EXPECT_TRUE(predicted("again", {"--image-size", "48x32", "--tta", "none"}) == whole);
  EXPECT_TRUE(predicted("flip", {"--tile", "48x32", "--tta", "flip"}) ==
              predicted("whole_flip", {"--image-size", "48x32", "--tta", "flip"}));
}

TEST_F(CropRun, ACheckpointOfCropsIsTiledUnlessToldOtherwise) {
  const fs::path best = trained("run", {"--crop", "32", "-e", "1", "--phase2-epochs", "0"}) / "best.safetensors";
  const std::string photo = (data_ / "images" / "p000.png").string();
  const auto said = [&](const Words& how) {
    const ProgramResult result =
        predict_unet(Words{"-c", best.string(), "-o", (folder_ / "masks").string(), photo} + how);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  };
  expect_parts(said({}), {"images at their own sizes, in tiles of 32\n"});
  expect_parts(said({"--tile", "16x48"}), {"in tiles of 16x48\n"});
  EXPECT_EQ(said({"--image-size", "32"}).find("tiles"), std::string::npos);
  const ProgramResult result = eval_unet({"-c", best.string(), "-d", data_.string(), "--split", "val", "--overlays",
                                          (folder_ / "overlays").string(), "--tta", "flip"});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"at their own sizes, in tiles of 32x32, views: flip"});
  EXPECT_EQ(names_in(folder_ / "overlays").size(), 2u);
  EXPECT_NE(text_of(best.parent_path() / "report.html").find("crops 32,"), std::string::npos);
}

TEST_F(CropRun, WrongUseIsToldByName) {
  const fs::path output = folder_ / "run";
  const auto refused = [&](const Words& more, const std::vector<std::string>& parts) {
    const ProgramResult result = run(command(output, more));
    EXPECT_EQ(result.code, 2) << result.err;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(output));
  };
  refused({"--crop", "32", "--image-size", "64"}, {"--crop 32", "--image-size 64", "leave one of them out"});
  refused({"--crops-per-image", "2"}, {"--crops-per-image 2 asks for --crop"});
  refused({"--crop", "8"}, {"--crop", "8 is outside 16..16384"});
  refused({"--crop", "32x"}, {"--crop", "\"32x\" is not N or HxW"});
  refused({"--crop", "32", "--crops-per-image", "0"}, {"--crops-per-image"});
  const Words predict{"-c", "x", "-o", "y", "z"}, eval{"-c", "x", "-d", data_.string()};
  for (const auto& [program_of, words] : {std::pair{&predict_unet, predict}, {&eval_unet, eval}}) {
    const ProgramResult both = program_of(words + Words{"--tile", "64", "--image-size", "32"});
    EXPECT_EQ(both.code, 2);
    expect_parts(both.err, {"--tile 64", "--image-size 32", "leave one of them out"});
    const ProgramResult view = program_of(words + Words{"--tta", "flips"});
    EXPECT_EQ(view.code, 2);
    expect_parts(view.err, {"--tta", "flips not in {flip,flip+scale,none}", "flip"});
  }
}

TEST_F(CropRun, AHostileEntryIsRefused) {
  const fs::path best = trained("run", {"--crop", "32", "-e", "1", "--phase2-epochs", "0"}) / "best.safetensors";
  for (const std::string value : {"64x32", "", "32", "32x32 ", "\x1b[31m", "none", "99999999999999999999x32"}) {
    const fs::path hostile = folder_ / "hostile.safetensors";
    write_with_metadata(best, hostile, [&](auto& metadata) { metadata["crop"] = value; });
    for (const ProgramResult& result :
         {eval_unet({"-c", hostile.string(), "-d", data_.string()}),
          predict_unet({"-c", hostile.string(), "-o", (folder_ / "none").string(), (data_ / "images").string()})}) {
      EXPECT_EQ(result.code, 1) << value;
      expect_parts(result.err, {"hostile.safetensors: metadata \"crop\" is \"", "expected the size", "32x32"});
      EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
    }
    EXPECT_FALSE(fs::exists(folder_ / "none"));
  }
}

TEST_F(CropRun, ADryRunTellsWhatCropsTake) {
  const ProgramResult result = run(command(folder_ / "run", kCrops) + Words{"--dry-run"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  expect_parts(result.out,
               {"crops 32", "for a training step of 2 images", "memory: ", "time: ", "nothing was written"});
}

/// The peak of a prediction, in MiB.
double peak_of(const fs::path& checkpoint, const fs::path& photo, const Words& how) {
  const Folder out;
  const ProgramResult result =
      predict_unet(Words{"-c", checkpoint.string(), "-o", out.path().string(), "--threads", "2", photo.string()} + how);
  EXPECT_EQ(result.code, 0) << result.err;
  return result.peak_mib;
}

// Beyond the photograph (3 bytes a pixel) and its mask (1), what tiles take hangs on the width alone.
TEST_F(CropRun, MemoryOfTilesIsThePictureItsMaskAndARowOfTiles) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's own memory is larger than any picture";
  const fs::path checkpoint = small_checkpoint(data_, folder_ / "run");
  const auto photo = [&](const char* name, int height, int width) {
    Image image(width, height, 3);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i * i >> 7);
    write_bytes(folder_ / name, encode_png(image));
    return folder_ / name;
  };
  const fs::path tall = photo("tall.png", 8192, 1024), low = photo("low.png", 512, 1024);
  for (const Words& how : {Words{"--tile", "128"}, {"--tile", "128", "--probabilities"}}) {
    const double of_low = peak_of(checkpoint, low, how), of_tall = peak_of(checkpoint, tall, how);
    const double pictures = 4.0 * (8192 - 512) * 1024 / (1 << 20);  // 30 MiB
    EXPECT_LT(of_tall - of_low, pictures + 14) << of_tall << " and " << of_low;
    RecordProperty("tall_mib", fmt::format("{:.0f}", of_tall));
    RecordProperty("low_mib", fmt::format("{:.0f}", of_low));
  }
}

// More than the room for pictures under way: they go one by one.
TEST_F(CropRun, SeveralLargePicturesTakeTheMemoryOfOne) {
  if (sanitized || !long_run()) GTEST_SKIP() << "takes minutes (UNET_LONG=1), and figures of memory";
  const fs::path checkpoint = small_checkpoint(data_, folder_ / "run");
  Image image(8192, 5000, 3);  // 156 MiB with its mask
  write_bytes(folder_ / "one" / "a.png", encode_png(image, {true, {}, {}}));
  for (const char* name : {"a.png", "b.png", "c.png"}) {
    fs::create_directories(folder_ / "three");
    fs::copy_file(folder_ / "one" / "a.png", folder_ / "three" / name);
  }
  const Words how{"--tile", "2048", "--no-overlay"};
  const double of_one = peak_of(checkpoint, folder_ / "one", how),
               of_three = peak_of(checkpoint, folder_ / "three", how);
  EXPECT_LT(of_three, of_one + 40) << of_one;
}

}  // namespace
}  // namespace unet::test::crops_test
