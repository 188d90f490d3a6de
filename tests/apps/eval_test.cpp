// eval_unet: its figures, its files, and that the size of a batch is no part of the result.
#include <fmt/core.h>

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/io/csv.h"
#include "tests/apps/faults.h"
#include "tests/apps/small_data.h"

namespace unet::test::eval_test {
namespace {

class Eval : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<Folder>();
    write_small_pets(*folder_ / "pets", 20, 5);
    checkpoint_ = small_checkpoint(*folder_ / "pets", *folder_ / "run");
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static ProgramResult eval(const Words& words) {
    ProgramResult result =
        eval_unet(Words{"-c", checkpoint_.string(), "-d", (*folder_ / "pets").string(), "--threads", "1"} + words);
    EXPECT_EQ(result.code, 0) << result.err;
    return result;
  }
  static nlohmann::ordered_json figures(const Words& words) {
    const Folder out;
    eval(Words{"--json", (out / "figures.json").string()} + words);
    return nlohmann::ordered_json::parse(text_of(out / "figures.json"));
  }

  static inline std::unique_ptr<Folder> folder_;
  static inline fs::path checkpoint_;
};

TEST_F(Eval, JsonHoldsExactlyTheseFigures) {
  const nlohmann::ordered_json json = figures({});
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"cross_entropy", "dice", "dice_nonempty", "dice_dataset", "iou",
                                            "iou_dataset", "pixel_accuracy", "dice_native", "iou_native", "images",
                                            "images_nonempty", "images_nothing_to_find", "images_ignored",
                                            "images_per_second", "background", "classes", "confusion"}));
  EXPECT_EQ(json["classes"][1]["dice"], json["dice_dataset"]);
  std::int64_t pixels = 0;
  for (const auto& row : json["confusion"]) pixels += row[0].get<std::int64_t>() + row[1].get<std::int64_t>();
  EXPECT_EQ(pixels, 5 * 32 * 32);
  EXPECT_EQ(json["confusion"][1][0].get<std::int64_t>() + json["confusion"][1][1].get<std::int64_t>(),
            json["classes"][1]["pixels"]);
  EXPECT_EQ(json["images"], 5);
  EXPECT_GT(json["images_per_second"].get<double>(), 0);
  EXPECT_GT(json["cross_entropy"].get<double>(), 0);
  for (const char* key : {"dice", "dice_dataset", "iou", "iou_dataset", "pixel_accuracy"}) {
    EXPECT_GT(json[key].get<double>(), 0.2) << key << ": nothing was learnt";
    EXPECT_LE(json[key].get<double>(), 1) << key;
  }
  EXPECT_LT(json["iou"].get<double>(), json["dice"].get<double>());
}

TEST_F(Eval, PrintsEachFigureWithItsMeaning) {
  const std::string out = eval({}).out;
  for (const char* key : {"cross_entropy", "dice", "dice_dataset", "iou", "iou_dataset", "pixel_accuracy"}) {
    const auto lines = lines_of(out);
    const auto line = std::find_if(lines.begin(), lines.end(),
                                   [&](const std::string& l) { return l.starts_with(std::string(key) + " "); });
    ASSERT_NE(line, lines.end()) << key;
    EXPECT_GT(line->size(), 50u) << *line;
  }
  expect_parts(out, {"5 images", "test of ", "32x32"});
}

TEST_F(Eval, BatchSizeAndWorkersDoNotChangeFigures) {
  const nlohmann::ordered_json whole = figures({"-b", "16"});
  for (const Words& words : {Words{"-b", "1"}, Words{"-b", "2", "-j", "0"}, Words{"-b", "3", "-j", "4"}}) {
    const nlohmann::ordered_json other = figures(words);
    for (const char* key : {"cross_entropy", "dice", "dice_dataset", "iou", "iou_dataset", "pixel_accuracy"}) {
      EXPECT_NEAR(other[key].get<double>(), whole[key].get<double>(), 1e-5) << key << " with -b " << words[1];
    }
  }
}

TEST_F(Eval, SplitsAreThoseOfTraining) {
  for (const auto& [split, images] : {std::pair{"train", 18}, {"val", 2}, {"trainval", 20}, {"test", 5}}) {
    EXPECT_EQ(figures({"--split", split})["images"], images) << split;
  }
}

TEST_F(Eval, PerImageRowsMakeTheMeans) {
  const nlohmann::ordered_json json = figures({"--per-image", (*folder_ / "each.csv").string()});
  const CsvTable table = read_csv(*folder_ / "each.csv");
  EXPECT_EQ(table.columns, (std::vector<std::string>{"name", "dice", "iou", "pixel_accuracy", "dice_0", "dice_1"}));
  ASSERT_EQ(table.rows.size(), 5u);
  for (const char* key : {"dice", "iou"}) {
    double sum = 0;
    for (const auto& row : table.rows) sum += std::stod(row[table.column(key)]);
    EXPECT_NEAR(sum / 5, json[key].get<double>(), 1e-9) << key;
  }
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(table.rows[i][0], fmt::format("p{:03}", 20 + i));
}

TEST_F(Eval, OverlaysOfAllOrOfTheWorst) {
  const fs::path all = *folder_ / "all", worst = *folder_ / "worst";
  eval({"--overlays", all.string()});
  ASSERT_EQ(names_in(all).size(), 5u);
  const Image overlay = load_image(all / names_in(all)[0]);
  EXPECT_EQ(overlay.width, 4 * 256 + 3 * 4) << "photo | truth | prediction | comparison, each 32 pixels times 8";
  EXPECT_GT(overlay.height, 256 + 2 * 18) << "a title above, a legend below";

  const std::string out =
      eval({"--overlays", worst.string(), "--worst", "2", "--per-image", (*folder_ / "w.csv").string()}).out;
  const CsvTable table = read_csv(*folder_ / "w.csv");
  std::vector<std::pair<double, std::string>> order;
  for (const auto& row : table.rows) order.emplace_back(std::stod(row[1]), row[0]);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  ASSERT_EQ(names_in(worst).size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    expect_parts(out, {fmt::format("  {:.4f}  {}\n", order[i].first, order[i].second)});
    const auto names = names_in(worst);
    EXPECT_TRUE(std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return name.find(order[i].second) != std::string::npos;
    })) << order[i].second;
  }
  EXPECT_EQ(out.find(order[2].second), std::string::npos);
}

TEST_F(Eval, LinesThatVanishAtTheNetworksSizeAreMissedAtTheMasks) {
  const Folder out;
  write_small_pets(out / "pets", 2, 1);
  Image photo(256, 256, 3), lines(256, 256, 1);
  std::fill(photo.pixels.begin(), photo.pixels.end(), std::uint8_t{40});
  std::fill(lines.pixels.begin(), lines.pixels.end(), std::uint8_t{2});  // background of a trimap
  std::fill_n(lines.row(1), 256, std::uint8_t{1});                       // no centre of 32 rows lies on it
  write_bytes(out / "pets" / "images" / "p002.jpg", encode_jpeg(photo, 95));
  fs::remove(out / "pets" / "images" / "p002.png");
  write_bytes(out / "pets" / "annotations" / "trimaps" / "p002.png", encode_png(lines));
  const ProgramResult result =
      eval_unet({"-c", checkpoint_.string(), "-d", (out / "pets").string(), "--json", (out / "e.json").string()});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::ordered_json::parse(text_of(out / "e.json"));
  EXPECT_EQ(json["images_nonempty"], 0);
  EXPECT_EQ(json["dice_nonempty"], nullptr);
  EXPECT_LT(json["dice_native"].get<double>(), 0.1);
}

TEST_F(Eval, NothingThatIsReadIsWrittenOver) {
  const Folder out;
  const fs::path pets = out / "pets", net = out / "net.safetensors";
  fs::copy(*folder_ / "pets", pets, fs::copy_options::recursive);
  fs::copy_file(checkpoint_, net);
  const fs::path mask = pets / "annotations" / "trimaps" / "p020.png", photo = pets / "images" / "p020.png";
  fs::create_symlink(mask, out / "link");
  fs::create_hard_link(photo, out / "hard");
  fs::create_directory(out / "pictures");
  fs::create_symlink(photo, out / "pictures" / "p020.png");
  fs::create_directory_symlink(pets / "images", out / "folder");
  const auto everything = [&] {
    std::map<std::string, std::string> contents;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(out.path())) {
      contents[entry.path().string()] = entry.is_regular_file() ? text_of(entry.path()) : "";
    }
    return contents;
  };
  const auto before = everything();
  const std::string list = (pets / "annotations" / "test.txt").string();
  for (const Words& words : {Words{"--json", net.string()},
                             {"--per-image", net.string()},
                             {"--json", list},
                             {"--per-image", list},
                             {"--json", (out / "link").string()},
                             {"--json", (out / "hard").string()},
                             {"--overlays", (pets / "images").string()},
                             {"--overlays", (pets / "annotations" / "trimaps").string()},
                             {"--overlays", (out / "folder" / "new").string()},
                             {"--overlays", (out / "pictures").string()}}) {
    const ProgramResult result = eval_unet(Words{"-c", net.string(), "-d", pets.string()} + words);
    EXPECT_EQ(result.code, 1) << words[1];
    expect_parts(result.err, {"eval_unet: ", words[1]});
    EXPECT_EQ(result.out.find("cross_entropy"), std::string::npos) << "something ran";
    EXPECT_TRUE(everything() == before) << words[0] << " " << words[1];
  }
}

TEST_F(Eval, FiguresGoToStandardOutputAlone) {
  const Words command{"-c", checkpoint_.string(), "-d", (*folder_ / "pets").string(), "--threads", "1"};
  for (const char* name : {"-", "/dev/stdout"}) {
    const ProgramResult json = eval_unet(command + Words{"--json", name});
    EXPECT_EQ(json.code, 0) << json.err;
    EXPECT_EQ(nlohmann::json::parse(json.out)["images"], 5) << name;
    expect_parts(json.err, {"cross_entropy"});
    const ProgramResult rows = eval_unet(command + Words{"--per-image", name});
    EXPECT_EQ(lines_of(rows.out).size(), 6u) << rows.out;
    EXPECT_TRUE(rows.out.starts_with("name,dice,")) << rows.out;
  }
  const Folder out;
  const std::string file = (out / "all.txt").string();
  ASSERT_EQ(run(Words{"sh", "-c", "echo before > " + file + "; exec \"$0\" \"$@\" >> " + file, program("eval_unet")} +
                command + Words{"--json", "/dev/stdout"})
                .code,
            0);
  const std::string text = text_of(file);
  ASSERT_TRUE(text.starts_with("before\n")) << text;
  EXPECT_EQ(nlohmann::json::parse(text.substr(7))["images"], 5);
  EXPECT_EQ(eval_unet(command + Words{"--json", "-", "--per-image", "-"}).code, 2);
  EXPECT_EQ(eval_unet(command + Words{"--json", file, "--per-image", file}).code, 2);
  EXPECT_EQ(
      run(Words{"sh", "-c", "exec \"$0\" \"$@\" > /dev/full", program("eval_unet")} + command + Words{"--json", "-"})
          .code,
      1);
}

TEST_F(Eval, AFullDiskLeavesNoCutOverlay) {
  const Folder out;
  const ProgramResult result = run_into({fmt::format("errors {}", ENOSPC), "write", "p022", 1},
                                        {program("eval_unet"), "-c", checkpoint_.string(), "-d",
                                         (*folder_ / "pets").string(), "--overlays", (out / "pictures").string()},
                                        out.path());
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"p022.png", "No space left on device"});
  EXPECT_EQ(names_in(out / "pictures"), (std::vector<std::string>{"p020.png", "p021.png"}));
}

TEST_F(Eval, AFullScreenIsAnError) {
  const ProgramResult result = run({"sh", "-c", "exec \"$0\" \"$@\" > /dev/full", program("eval_unet"), "-c",
                                    checkpoint_.string(), "-d", (*folder_ / "pets").string()});
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {"standard output cannot be written"});
}

TEST_F(Eval, FilesThatCannotBeWrittenAreErrors) {
  for (const Words& words : {Words{"--json", "/dev/null/a.json"}, Words{"--per-image", "/dev/null/a.csv"},
                             Words{"--overlays", "/dev/null/a"}}) {
    const ProgramResult result =
        eval_unet(Words{"-c", checkpoint_.string(), "-d", (*folder_ / "pets").string(), "--threads", "1"} + words);
    EXPECT_EQ(result.code, 1) << words[0];
    expect_parts(result.err, {"eval_unet: ", words[1]});
  }
}

}  // namespace
}  // namespace unet::test::eval_test
