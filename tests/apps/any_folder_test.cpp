// train_unet on folders as people have them, with nothing but the folder and, where needed, a class map; what it learns
// is evaluated and predicted, and the classes' names are where they belong.
#include <nlohmann/json.hpp>

#include "engine/io/csv.h"
#include "engine/io/safetensors.h"
#include "tests/apps/small_data.h"

namespace unet::test::any_folder_test {
namespace {

constexpr std::array<Rgb, 3> kColors{{{64, 0, 128}, {192, 0, 0}, {0, 128, 64}}};
constexpr const char* kMap = R"([{"name": "ground", "value": "#400080", "class": 0, "background": true},
  {"name": "left, half", "value": "#c00000", "class": 1}, {"name": "right", "value": "#008040", "class": 2}])";

class AnyFolder : public testing::Test {
 protected:
  /// Pairs 0.png, 1.png, ... of these folders, masks' stems with a suffix.
  void put(const std::string& images, const std::string& masks, int count, const std::string& suffix = "",
           int first = 0) const {
    for (int i = 0; i < count; ++i) {
      const auto [photo, labels] = small_picture(static_cast<std::uint64_t>(first + i), 48, 48);
      write_bytes(data_ / images / fmt::format("{}.png", i), encode_png(photo));
      write_bytes(data_ / masks / fmt::format("{}{}.png", i, suffix), encode_png(labels));
    }
  }
  ProgramResult train(const Words& words) const {
    return train_unet(words + Words{"-o", output_.string(), "-e", "1", "--phase2-epochs", "1", "--base-channels", "2",
                                    "--imgsz", "32", "--batch", "2", "-j", "0", "--threads", "1"});
  }
  /// Trains, and runs the command that the last line gives.
  void expect_whole(const Words& words, const std::vector<std::string>& parts) const {
    const ProgramResult trained = train(words);
    ASSERT_EQ(trained.code, 0) << trained.err;
    expect_parts(trained.out, parts);
    const std::string command = trained.out.substr(trained.out.find("evaluate it: ") + 13);
    const ProgramResult evaluated = test::run({"sh", "-c", program("eval_unet") + command.substr(9)});
    EXPECT_EQ(evaluated.code, 0) << command << evaluated.err;
    fs::remove_all(output_);
  }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", output_ = folder_ / "run";
};

TEST_F(AnyFolder, EveryLayoutIsTrainedOnAndEvaluated) {
  put("images/train", "masks/train", 6);
  put("images/val", "masks/val", 2);
  put("images/test", "masks/test", 2);
  expect_whole({data_.string()},
               {"images/train/, images/val/, images/test/ with masks/train/", "6 train, 2 val, 2 test"});
  fs::remove_all(data_);

  put("train/img", "train/label", 6);
  put("validation/img", "validation/label", 2);
  expect_whole({data_.string()}, {"train/img/, validation/img/ with train/label/", "6 train, 2 val, 0 test"});
  fs::remove_all(data_);

  for (const std::string split : {"train", "val", "test"}) put(split, split + "annot", 3);
  expect_whole({data_.string()},
               {"train/, val/, test/ with trainannot/, valannot/, testannot/", "3 train, 3 val, 3 test"});
  fs::remove_all(data_);

  put("JPEGImages", "SegmentationClass", 8);
  write_text(data_ / "ImageSets/Segmentation/train.txt", "0\n1\n2\n3\n4\n5\n");
  write_text(data_ / "ImageSets/Segmentation/val.txt", "6\n7\n");
  expect_whole({data_.string()}, {"Pascal VOC layout, 6 train, 2 val, 0 test"});
  fs::remove_all(data_);

  put("images", "masks", 20, "_mask");
  expect_whole({data_.string()}, {"images/ and masks/ (masks end in _mask)", "80/10/10"});
  fs::rename(data_ / "images", data_ / "some photos");
  const Words named{
      "--images", (data_ / "some photos").string(), "--masks", (data_ / "masks").string(), "--mask-suffix", "_mask"};
  expect_whole(named, {"80/10/10"});
  write_text(data_ / "a.txt", "3\n4\n5\n");
  write_text(data_ / "b.txt", "1\n2\n");
  expect_whole({"-d", data_.string(), "--images", "some photos", "--masks", "masks", "--mask-suffix=_mask",
                "--train-list", "a.txt", "--val-list", "b.txt"},
               {"some photos with masks (masks end in _mask), 3 train, 2 val, 0 test"});
}

TEST_F(AnyFolder, WrongUseOfTheFoldersOptionsIsToldAtOnce) {
  const auto expect_usage = [&](const Words& words, const std::string& part) {
    const ProgramResult result = train(words);
    EXPECT_EQ(result.code, 2) << result.err;
    expect_parts(result.err, {part});
  };
  expect_usage({}, "--data is required");
  expect_usage({"--images", "a"}, "--images and --masks go together");
  expect_usage({"-d", ".", "--class-map", "m", "--binarize", "9"}, "leave one of them out");
  expect_usage({"-d", ".", "--binarize", "256"}, "256");
  EXPECT_EQ(train({"-d", ".", "--class-map", (folder_ / "none.json").string()}).code, 1);
}

/// A set of three colours under their map, and a run on it.
class ClassMaps : public AnyFolder {
 protected:
  ClassMaps() {
    write_small_pairs(data_, 6, 3, 48, 48, 3);
    for (const std::string& name : names_in(data_ / "masks")) {
      const Image mask = load_mask(data_ / "masks" / name);
      Image rgb(mask.width, mask.height, 3);
      for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
        std::copy_n(kColors[mask.pixels[i]].begin(), 3, rgb.pixels.begin() + static_cast<std::ptrdiff_t>(3 * i));
      }
      write_bytes(data_ / "masks" / name, encode_png(rgb));
    }
    write_text(map_, kMap);
  }
  const fs::path map_ = folder_ / "map.json";
};

TEST_F(ClassMaps, GiveTheirNamesToEverythingThatIsWritten) {
  const ProgramResult trained = train({data_.string(), "--class-map", map_.string(), "--verbose"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  expect_parts(trained.out,
               {"#c00000 -> class left, half", ", 3 classes, ", "  dice of the classes, all images as one: ground "});
  expect_parts(text_of(output_ / "metrics.csv"), {",\"val_dice_left, half\",", ",val_iou_right,"});
  const auto record = nlohmann::json::parse(text_of(output_ / "run.json"));
  EXPECT_EQ(record["data"]["classes"], (std::vector<std::string>{"ground", "left, half", "right"}));
  EXPECT_EQ(record["options"]["classes"], "3");
  EXPECT_EQ(record["options"]["background"], "0");

  const fs::path best = output_ / "best.safetensors", out = folder_ / "out";
  const ProgramResult evaluated =
      eval_unet({"-c", best.string(), "-d", data_.string(), "--split", "val", "--json", (folder_ / "e.json").string(),
                 "--per-image", (folder_ / "e.csv").string(), "--overlays", out.string()});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  expect_parts(evaluated.out, {"\n    ground  ", "\nleft, half  ", "\n     right  "});
  EXPECT_EQ(nlohmann::json::parse(text_of(folder_ / "e.json"))["classes"][1]["name"], "left, half");
  expect_parts(text_of(folder_ / "e.csv"), {"dice_ground,\"dice_left, half\",dice_right\n"});

  const ProgramResult predicted =
      predict_unet({"-c", best.string(), "-o", out.string(), (data_ / "images/v000.png").string()});
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  EXPECT_EQ(predicted.out.find("class 0"), std::string::npos) << predicted.out;
  expect_parts(predicted.out, {" %"});
}

TEST_F(ClassMaps, MayBeAnotherOneForOtherData) {
  ASSERT_EQ(train({data_.string(), "--class-map", map_.string()}).code, 0);
  const std::string best = (output_ / "best.safetensors").string();
  for (const std::string& name : names_in(data_ / "masks")) {
    Image mask = load_mask(data_ / "masks" / name), gray(mask.width, mask.height, 1);
    for (std::size_t i = 0; i < gray.pixels.size(); ++i) gray.pixels[i] = mask.pixels[3 * i];  // 64, 192, 0
    write_bytes(data_ / "masks" / name, encode_png(gray));
  }
  const ProgramResult refused = eval_unet({"-c", best, "-d", data_.string(), "--split", "val"});
  EXPECT_EQ(refused.code, 1);
  expect_parts(refused.err, {"3 values that the class map does not name", "\n  64: "});
  write_text(map_, R"([{"value": 64, "class": 0}, {"value": 192, "class": 1}, {"value": 0, "class": 2}])");
  EXPECT_EQ(eval_unet({"-c", best, "-d", data_.string(), "--split", "val", "--class-map", map_.string()}).code, 0);
}

TEST_F(ClassMaps, GoOnWithTheSameOneAlone) {
  const Words words{data_.string(), "--class-map", map_.string()};
  ASSERT_EQ(train(words + Words{"--max-steps", "1"}).code, 0);
  const fs::path copy = folder_ / "copy.json";
  fs::copy_file(map_, copy);
  EXPECT_EQ(train({data_.string(), "--class-map", copy.string(), "--max-steps", "1", "--resume"}).code, 0);
  std::string other = kMap;
  other.replace(other.find("right"), 5, "wrong");
  write_text(copy, other);
  const ProgramResult refused = train({data_.string(), "--class-map", copy.string(), "--max-steps", "1", "--resume"});
  EXPECT_EQ(refused.code, 1);
  expect_parts(refused.err, {"cannot be resumed as it was"});
}

TEST_F(ClassMaps, AreProposedFromTheDataAndTrainedWith) {
  const fs::path proposed = folder_ / "proposed.json";
  const ProgramResult result = train_unet({data_.string(), "--write-class-map", proposed.string()});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_parts(result.out, {"#400080 -> class 0", "#c00000 -> class", "--class-map " + proposed.string()});
  EXPECT_FALSE(fs::exists("saved_models"));
  const std::string text = text_of(proposed);
  const ProgramResult again = train_unet({data_.string(), "--write-class-map", proposed.string()});
  EXPECT_EQ(again.code, 1);
  expect_parts(again.err, {"is there", "another name"});
  EXPECT_EQ(text_of(proposed), text);
  const ProgramResult trained = train({data_.string(), "--class-map", proposed.string()});
  EXPECT_EQ(trained.code, 0) << trained.err;
  expect_parts(trained.err + trained.out, {"3 classes"});
}

TEST_F(ClassMaps, OfAHostileCheckpointAreRefused) {
  ASSERT_EQ(train({data_.string(), "--class-map", map_.string()}).code, 0);
  const fs::path best = output_ / "best.safetensors";
  const SafetensorsFile file(best);
  const auto with = [&](const std::string& key, const std::string& value) {
    auto metadata = file.metadata();
    metadata[key] = value;
    std::vector<std::vector<std::byte>> bytes;
    std::vector<SafetensorsEntry> entries;
    for (const TensorInfo& info : file.tensors()) {
      bytes.emplace_back(info.bytes());
      file.read(info, bytes.back().data());
      entries.push_back({info.name, info.dtype, info.shape, bytes.back().data(), {}});
    }
    write_safetensors(folder_ / "odd.safetensors", metadata, entries);
    const ProgramResult result = eval_unet({"-c", (folder_ / "odd.safetensors").string(), "-d", data_.string()});
    EXPECT_EQ(result.code, 1);
    return result.err;
  };
  expect_parts(with("class_map", "[[["), {"odd.safetensors: metadata \"class_map\": is no JSON"});
  expect_parts(with("class_map", R"([{"value": 0, "class": 0}, {"value": 1, "class": 1}])"),
               {"names 2 classes, the network has 3"});
  expect_parts(with("binarize", "128"), {"metadata \"binarize\" is \"128\""});
}

TEST_F(AnyFolder, SoftMasksAreBinarizedAndTheCheckpointRemembersIt) {
  put("images", "masks", 20);
  for (const std::string& name : names_in(data_ / "masks")) {
    Image mask = load_mask(data_ / "masks" / name);
    for (std::uint8_t& value : mask.pixels) value = value ? 230 : 9;
    write_bytes((data_ / "masks" / name).replace_extension(".jpg"), encode_jpeg(mask, 60));
    fs::remove(data_ / "masks" / name);
  }
  const ProgramResult refused = train({data_.string()});
  EXPECT_EQ(refused.code, 1);
  expect_parts(refused.err, {"mask is a JPEG", "--binarize 128"});
  expect_whole({data_.string(), "--binarize", "128"},
               {"% of the pixels were neither black nor white, in 20 of 20 masks"});
}

}  // namespace
}  // namespace unet::test::any_folder_test
