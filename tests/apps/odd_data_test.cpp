// Odd masks and photographs as a person meets them: refused before anything is written, warned of on stderr, or counted
// in the report; --exif in training, evaluation and prediction.
#include <nlohmann/json.hpp>

#include "engine/io/safetensors.h"
#include "tests/apps/small_data.h"

namespace unet::test::odd_data_test {
namespace {

class OddData : public testing::Test {
 protected:
  OddData() { write_small_pairs(data_, 6, 2, 64, 64); }

  ProgramResult train(const Words& words = {}) const {
    return train_unet(small_run(data_, output_, Words{"-e", "1", "--phase2-epochs", "0", "-j", "0"} + words));
  }
  fs::path mask(const std::string& name) const { return data_ / "masks" / (name + ".png"); }
  fs::path image(const std::string& name) const { return data_ / "images" / (name + ".png"); }

  /// Each mask of the training (or all) becomes what `change` makes of it.
  template <class Change>
  void change_masks(const std::string& first_letters, const Change& change) const {
    for (const std::string& name : names_in(data_ / "masks")) {
      if (first_letters.find(name[0]) == std::string::npos) continue;
      Image image = load_mask(data_ / "masks" / name);
      change(image);
      write_bytes(data_ / "masks" / name, encode_png(image));
    }
  }
  void expect_refused(const std::vector<std::string>& parts, const Words& words = {}) const {
    const ProgramResult result = train(words);
    EXPECT_EQ(result.code, 1) << result.out;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(output_));
  }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", output_ = folder_ / "run";
};

TEST_F(OddData, NoForegroundInTheTrainingMasksIsRefused) {
  change_masks("t", [](Image& m) { std::fill(m.pixels.begin(), m.pixels.end(), std::uint8_t{0}); });
  for (const char* background : {"0", "none"}) {
    expect_refused({data_.string(), "6 training masks hold class 0 alone", "nothing to learn"},
                   {"--background", background});
  }
}

TEST_F(OddData, AClassWithoutATrainingPixelIsWarnedOfInTrainingAlone) {
  const ProgramResult result = train({"--classes", "3"});
  EXPECT_EQ(result.code, 0);
  expect_parts(result.err, {"train_unet: warning: no training mask holds class 2"});
  EXPECT_EQ(train({"--classes", "3", "--quiet", "--overwrite"}).err, result.err) << "a warning is not for --quiet";
  const ProgramResult evaluated =
      eval_unet({"-c", (output_ / "best.safetensors").string(), "-d", data_.string(), "--split", "val"});
  EXPECT_EQ(evaluated.code, 0);
  EXPECT_EQ(evaluated.err, "");
}

TEST_F(OddData, ZeroAnd255AreTwoClassesAndNoMore) {
  change_masks("tv", [](Image& m) {
    for (std::uint8_t& value : m.pixels) value = value ? 255 : 0;
  });
  expect_refused({"nothing but 0 and 255", "3 are asked for", mask("t000").string()}, {"--classes", "3"});
  Image odd = load_mask(mask("t004"));
  odd.pixels[9] = 1;
  write_bytes(mask("t004"), encode_png(odd));
  expect_refused({"7 masks hold nothing but 0 and 255", "1 holds other values", mask("t004").string() + " (value 1)"});
  odd.pixels[9] = 0;
  write_bytes(mask("t004"), encode_png(odd));
  EXPECT_EQ(train().code, 0);
}

TEST_F(OddData, WarningsNameTheFileAndStandInTheRecord) {
  const auto as_palette = [&](const std::string& name, const std::vector<std::uint8_t>& palette) {
    PngFile png{64, 64, 8, 3, palette, {}, load_mask(mask(name)).pixels};
    write_bytes(mask(name), png.bytes());
  };
  as_palette("t001", {0, 0, 0, 255, 0, 0});
  as_palette("v001", {255, 0, 0, 0, 0, 0});
  const ProgramResult result = train();
  EXPECT_EQ(result.code, 0);
  expect_parts(result.err, {"train_unet: warning: 1 palette mask shows", mask("t001").string(), mask("v001").string()});
  auto json = nlohmann::json::parse(text_of(output_ / "run.json"));
  ASSERT_EQ(json["data"]["warnings"].size(), 1u);
  expect_parts(json["data"]["warnings"][0], {"1 palette mask shows"});
  const ProgramResult evaluated =
      eval_unet({"-c", (output_ / "best.safetensors").string(), "-d", data_.string(), "--split", "val"});
  EXPECT_EQ(evaluated.code, 0);
  expect_parts(evaluated.err, {"eval_unet: warning: 1 palette mask shows"});
}

TEST_F(OddData, LinesThatVanishAtTheNetworksSizeAreReported) {
  change_masks("tv", [](Image& m) { std::fill_n(m.row(20), 64, std::uint8_t{2}); });  // 32 of 64 rows: the odd ones
  for (const char* name : {"t000", "v000"}) {
    Image thick = load_mask(mask(name));
    std::fill_n(thick.row(21), 64, std::uint8_t{2});
    write_bytes(mask(name), encode_png(thick));
  }
  const ProgramResult result = train({"--classes", "3"});
  EXPECT_EQ(result.code, 0) << result.err;
  expect_parts(result.out,
               {"class 2 vanishes in 6 of 8 masks that hold it at 32x32: a larger --image-size keeps it\n"});
  const ProgramResult larger = train({"--classes", "3", "--image-size", "64", "--overwrite"});
  EXPECT_EQ(larger.out.find("vanishes"), std::string::npos);
}

TEST_F(OddData, ExifIsFollowedOrIgnoredAsInTraining) {
  for (const std::string& name : names_in(data_ / "images")) {
    write_bytes(data_ / "images" / name, png_with_orientation(load_image(data_ / "images" / name), 6));
  }
  const ProgramResult applied = train();
  expect_parts(applied.out, {"EXIF: 8 photographs turned upright", image("t000").string()});
  const ProgramResult ignored = train({"--exif", "ignore", "--overwrite"});
  expect_parts(ignored.out, {"EXIF: 8 photographs not turned"});
  const fs::path checkpoint = output_ / "best.safetensors";
  EXPECT_EQ(SafetensorsFile(checkpoint).metadata().at("exif"), "ignore");
  const auto dice = [&](const Words& words) {
    const ProgramResult result = eval_unet(Words{"-c", checkpoint.string(), "-d", data_.string(), "--split", "train",
                                                 "--threads", "1", "--json", (folder_ / "e.json").string()} +
                                           words);
    EXPECT_EQ(result.code, 0) << result.err;
    return nlohmann::json::parse(text_of(folder_ / "e.json"))["cross_entropy"].get<double>();
  };
  EXPECT_EQ(dice({}), dice({"--exif", "ignore"}));
  EXPECT_NE(dice({}), dice({"--exif", "apply"}));

  write_bytes(folder_ / "wide.png", png_with_orientation(Image(40, 20, 3), 6));
  const auto sides = [&](const Words& words) {
    const ProgramResult result = predict_unet(Words{"-c", checkpoint.string(), (folder_ / "wide.png").string(), "-o",
                                                    (folder_ / "out").string(), "--threads", "1"} +
                                              words);
    EXPECT_EQ(result.code, 0) << result.err;
    const Image mask = load_mask(folder_ / "out" / "wide_mask.png");
    return std::pair(mask.width, mask.height);
  };
  EXPECT_EQ(sides({}), std::pair(40, 20));
  EXPECT_EQ(sides({"--exif", "apply"}), std::pair(20, 40));
  EXPECT_EQ(train_unet({"-d", "x", "--exif", "turn"}).code, 2);
}

TEST_F(OddData, PhotographsThatLoseSomethingAreCounted) {
  PngFile png{64, 64, 8, 6, {}, {}, std::vector<std::uint8_t>(64 * 64 * 4, 0)};
  write_bytes(image("t002"), png.bytes());
  PngFile deep{64, 64, 16, 0, {}, {}, std::vector<std::uint8_t>(64 * 64 * 2, 7)};
  write_bytes(image("t003"), deep.bytes());
  const ProgramResult result = train();
  EXPECT_EQ(result.code, 0);
  expect_parts(result.out, {"alpha: dropped from 1 photograph; 1 of the 1 with transparent", image("t002").string()});
  expect_parts(result.err, {"1 of the 1 photographs of 16 bits", image("t003").string()});
}

}  // namespace
}  // namespace unet::test::odd_data_test
