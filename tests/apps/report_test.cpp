// report.html, eval_unet --report and compare_runs from outside: numbers, names of others, places, a killed run.
#include <signal.h>

#include <nlohmann/json.hpp>

#include "engine/core/text.h"
#include "engine/io/csv.h"
#include "tests/apps/tiny_training.h"
#include "tests/support/page_parser.h"

namespace unet::test::report_test {
namespace {

using tests::PageElement;
using tests::parse_page;

PageElement page_of(const fs::path& path) { return parse_page(text_of(path)); }

/// The values of <data> within an element.
std::vector<double> values_in(const PageElement& element) {
  std::vector<double> out;
  for (const PageElement* data : element.all("data")) out.push_back(std::stod(data->attributes.at("value")));
  return out;
}

std::string base64_digits(const PageElement& section) {
  std::string out;
  for (const PageElement* image : section.all("img")) out += image->attributes.at("src");
  return out;
}

class Report : public TinyTraining {
 protected:
  const fs::path output_ = folder_ / "run";

  ProgramResult eval(const fs::path& run, const Words& more) const {
    return eval_unet(Words{"-c", (run / "best.safetensors").string(), "-d", data_.string(), "--threads", "1"} + more);
  }
};

TEST_F(Report, NumbersAreThoseOfMetricsCsvAndOfEval) {
  const fs::path run = alone();
  const PageElement page = page_of(run / "report.html");
  const CsvTable metrics = read_csv(run / "metrics.csv");
  const auto cell = [&](std::size_t row, const std::string& name) {
    return std::stod(metrics.rows[row][metrics.column(name)]);
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < metrics.rows.size(); ++i) {
    if (cell(i, "val_dice") > cell(best, "val_dice")) best = i;
  }
  EXPECT_EQ(values_in(page.with_id("best")),
            (std::vector<double>{cell(best, "val_dice"), cell(best, "val_iou"), cell(best, "val_dice_dataset"),
                                 cell(best, "val_pixel_accuracy"), cell(best, "val_loss")}));
  EXPECT_NE(page.with_id("status").text.find("Finished "), std::string::npos);

  // Of the best checkpoint eval_unet finds the same, and so does its page.
  const fs::path json_file = folder_ / "figures.json", html = folder_ / "eval.html", csv = folder_ / "images.csv";
  const ProgramResult result = eval(
      run, {"--split", "val", "--json", json_file.string(), "--report", html.string(), "--per-image", csv.string()});
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(text_of(json_file));
  const PageElement evaluated = page_of(html);
  std::vector<double> figures, confusion, classes;
  for (const char* key : {"cross_entropy", "dice", "dice_nonempty", "dice_dataset", "iou", "iou_dataset",
                          "pixel_accuracy", "dice_native", "iou_native"}) {
    figures.push_back(json[key]);
  }
  for (const auto& row : json["confusion"]) {
    for (const auto& pixels : row) confusion.push_back(pixels);
  }
  for (const auto& c : json["classes"]) {
    for (const char* key : {"dice", "iou", "precision", "recall", "pixels", "images", "dice_native", "iou_native"}) {
      classes.push_back(c[key]);
    }
  }
  EXPECT_EQ(values_in(evaluated.with_id("figures")), figures);
  EXPECT_EQ(values_in(evaluated.with_id("classes")), classes);
  EXPECT_EQ(values_in(evaluated.with_id("confusion")), confusion);
  EXPECT_EQ(values_in(page.with_id("confusion")), confusion);
  const double recall = json["classes"][1]["recall"], precision = json["classes"][1]["precision"];
  EXPECT_DOUBLE_EQ(confusion.at(3) / (confusion.at(2) + confusion.at(3)), recall) << "rows are the truth";
  EXPECT_DOUBLE_EQ(confusion.at(3) / (confusion.at(1) + confusion.at(3)), precision);
  EXPECT_EQ(base64_digits(page.with_id("pictures")), base64_digits(evaluated.with_id("pictures")));
  EXPECT_EQ(page.with_id("pictures").all("img").size(), 2u * 4u) << "there are two images to validate on";
  EXPECT_GE(page.with_id("batch").all("img").size(), 2u);

  const nlohmann::json kept = nlohmann::json::parse(text_of(run / "best_validation.json"));
  const CsvTable per_image = read_csv(csv);
  ASSERT_EQ(kept["images"].size(), per_image.rows.size());
  for (std::size_t i = 0; i < per_image.rows.size(); ++i) {
    EXPECT_EQ(kept["images"][i]["name"], per_image.rows[i][per_image.column("name")]);
    EXPECT_EQ(kept["images"][i]["dice"].get<double>(), std::stod(per_image.rows[i][per_image.column("dice")]));
  }
}

TEST_F(Report, NamesOfOthersAreText) {
  const std::string evil = "</style><script>alert(1)</script>\"'&\xff";
  const fs::path data = folder_ / "d<b>\xff";
  for (std::size_t i = 0; i < 20; ++i) {
    const SmallPicture picture = small_picture(i, 32, 32);
    const std::string name = fmt::format("<i>\"{}\xff.png", i);
    write_bytes(data / "images" / name, encode_png(picture.photo));
    write_bytes(data / "masks" / name, encode_png(picture.labels));
  }
  const nlohmann::json map = {{{"name", "<b>ground</b>"}, {"value", 0}, {"class", 0}, {"background", true}},
                              {{"name", "</style><script>alert(1)</script>\"'&"}, {"value", 1}, {"class", 1}}};
  write_text(folder_ / "map.json", map.dump());
  const fs::path output = folder_ / ("o<b>\"\xff");
  const ProgramResult trained = train_unet(
      small_run(data, output, {"-e", "1", "--phase2-epochs", "0", "--class-map", (folder_ / "map.json").string()}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  const PageElement page = page_of(output / "report.html");
  EXPECT_TRUE(page.all("script").empty() && page.all("b").size() == page.with_id("best").all("b").size());
  EXPECT_EQ(page.all("h1").at(0)->text, "\no<b>\"\\xff\n");
  EXPECT_NE(page.with_id("classes").text.find("</style><script>alert(1)</script>\"'&"), std::string::npos);
  EXPECT_NE(page.with_id("pictures").text.find("<i>\""), std::string::npos);
}

TEST_F(Report, TellsNoPlaceOfThisMachineUnlessAsked) {
  const std::string place = fs::canonical(folder_.path()).string();
  ASSERT_EQ(run(command(output_, {"-e", "1", "--phase2-epochs", "0"})).code, 0);
  const std::string page = text_of(output_ / "report.html");
  EXPECT_EQ(page.find(place), std::string::npos);
  EXPECT_EQ(page.find(folder_.path().string()), std::string::npos);
  EXPECT_NE(page.find("-d \u2026/pets"), std::string::npos);
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  EXPECT_EQ(parse_page(page).text.find(fmt::format(" {} ", host.data())), std::string::npos);
  ASSERT_EQ(run(command(folder_ / "told", {"-e", "1", "--phase2-epochs", "0", "--report-paths"})).code, 0);
  EXPECT_NE(text_of(folder_ / "told" / "report.html").find("-d " + data_.string()), std::string::npos);

  ASSERT_EQ(eval(output_, {"--split", "val", "--report", (folder_ / "e.html").string()}).code, 0);
  EXPECT_EQ(text_of(folder_ / "e.html").find(folder_.path().string()), std::string::npos);
  ASSERT_EQ(eval(output_, {"--split", "val", "--report", (folder_ / "e.html").string(), "--report-paths"}).code, 0);
  EXPECT_NE(text_of(folder_ / "e.html").find(folder_.path().string()), std::string::npos);
}

TEST_F(Report, OfAKilledRunShowsItsLastStateAndAResumeGoesOn) {
  // The fourth row is that of the first epoch of phase 2: killed before its page has its name.
  const Fault kill{"signal 9", "rename", "report.html", 4};
  ASSERT_EQ(run_into(kill, command(output_), folder_.path()).code, 137);
  const std::string before = page_of(output_ / "report.html").with_id("status").text;
  EXPECT_NE(before.find("State after epoch 3/3 of phase 1 of 2, written "), std::string::npos) << before;
  EXPECT_EQ(before.find("Finished"), std::string::npos);
  ASSERT_EQ(run(command(output_, {"--resume", "auto"})).code, 0);
  expect_as_alone(output_);
  const PageElement page = page_of(output_ / "report.html"), expected = page_of(alone() / "report.html");
  EXPECT_NE(page.with_id("status").text.find("Finished "), std::string::npos);
  for (const char* id : {"best", "classes", "confusion", "certainty", "pictures", "batch"}) {
    EXPECT_EQ(page.with_id(id).text, expected.with_id(id).text) << id;
  }
  EXPECT_EQ(base64_digits(page), base64_digits(expected));
}

TEST_F(Report, ResumedWithinAnEpochItShowsTheSameTrainingBatch) {
  const Words options{"--save-every", "0", "-e", "1", "--phase2-epochs", "0"};
  ASSERT_EQ(run_into({"signal 9", "write", "steps.csv", 5}, command(output_, options), folder_.path()).code, 137);
  ASSERT_EQ(run(command(output_, options + Words{"--resume", "auto"})).code, 0);
  expect_as_alone(output_, options);
}

TEST_F(Report, WhatIsKeptOfTheBestMayBeDamagedOrGone) {
  for (const std::string content : {"{\"phase\": 1", ""}) {
    fs::remove_all(output_);
    ASSERT_EQ(run(command(output_, {"-e", "2", "--phase2-epochs", "1"})).code, 0);
    content.empty() ? (void)fs::remove(output_ / "best_validation.json")
                    : write_text(output_ / "best_validation.json", content);
    const ProgramResult resumed = run(command(output_, {"-e", "2", "--phase2-epochs", "2", "--resume", "auto"}));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(resumed.err.find("best_validation.json") != std::string::npos, !content.empty()) << resumed.err;
    EXPECT_NO_THROW(page_of(output_ / "report.html").with_id("curves"));
  }
}

TEST_F(Report, OfAnEvaluationIsNeverWrittenOverWhatIsRead) {
  const fs::path run = alone();
  const std::string checkpoint = (run / "best.safetensors").string(), bytes = text_of(checkpoint);
  EXPECT_EQ(eval(run, {"--report", checkpoint}).code, 1);
  EXPECT_EQ(text_of(checkpoint), bytes);
  EXPECT_EQ(eval(run, {"--report", "x.html", "--json", "./x.html"}).code, 2);
}

class CompareRuns : public Report {
 protected:
  ProgramResult compare(const Words& words) const { return run(Words{program("compare_runs")} + words); }
};

TEST_F(CompareRuns, NumbersAreThoseOfTheRuns) {
  const fs::path a = alone(), b = alone({"--lr", "1e-3"}), html = folder_ / "c.html";
  const ProgramResult result = compare({a.string(), b.string(), "-o", html.string(), "--threads", "1"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const PageElement page = page_of(html);
  const std::vector<double> first = values_in(page_of(a / "report.html").with_id("best")),
                            second = values_in(page_of(b / "report.html").with_id("best")),
                            found = values_in(page.with_id("figures"));
  EXPECT_EQ(found.at(0), first.at(0));
  EXPECT_EQ(found.at(1), second.at(0));
  EXPECT_NE(page.with_id("options").text.find("--lr"), std::string::npos);
  const std::vector<double> classes = values_in(page.with_id("classes"));
  ASSERT_EQ(classes.size(), 2u * 3u);
  EXPECT_DOUBLE_EQ(classes[5], classes[4] - classes[3]);
  EXPECT_EQ(page.with_id("images").all("circle").size(), 2u);
  // Worse by the slower learning rate: pictures of both runs, the first one's as in its own report.
  const auto pictures = page.with_id("regressions").all("img");
  ASSERT_FALSE(pictures.empty()) << page.with_id("regressions").text;
  EXPECT_NE(base64_digits(page_of(a / "report.html").with_id("pictures")).find(pictures.at(2)->attributes.at("src")),
            std::string::npos);
  EXPECT_EQ(text_of(html).find(folder_.path().string()), std::string::npos);
}

TEST_F(CompareRuns, OtherDataAreRefusedAndNamed) {
  const fs::path other = folder_ / "other", b = folder_ / "b", html = folder_ / "c.html";
  write_small_pets(other, 14, 1);
  ASSERT_EQ(train_unet(small_run(other, b, {"-e", "1", "--phase2-epochs", "0"})).code, 0);
  ProgramResult result = compare({alone().string(), b.string(), "-o", html.string()});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("images to train: 10 and 12"), std::string::npos) << result.err;
  const fs::path c = folder_ / "c";
  ASSERT_EQ(train_unet(small_run(data_, c, {"-e", "1", "--phase2-epochs", "0", "--border", "ignore"})).code, 0);
  result = compare({alone().string(), c.string(), "-o", html.string()});
  EXPECT_NE(result.err.find("--border: foreground and ignore"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(html));
  EXPECT_EQ(compare({alone().string(), data_.string(), "-o", html.string()}).code, 1);
  EXPECT_EQ(compare({alone().string(), "-o", html.string()}).code, 2);
  // Never into a run's folder.
  EXPECT_EQ(compare({alone().string(), alone().string(), "-o", (alone() / "steps.csv").string()}).code, 1);
}

TEST_F(CompareRuns, WithoutTheDataThereAreNoPicturesAndItSaysSo) {
  const fs::path a = alone(), b = alone({"--lr", "1e-3"}), html = folder_ / "c.html";
  const fs::path moved = folder_ / "moved";
  fs::rename(data_, moved);
  ProgramResult result = compare({a.string(), b.string(), "-o", html.string(), "--threads", "1"});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("name the data's folder with -d"), std::string::npos) << result.err;
  EXPECT_TRUE(page_of(html).with_id("regressions").all("img").empty());
  result = compare({a.string(), b.string(), "-o", html.string(), "--threads", "1", "-d", moved.string()});
  EXPECT_EQ(result.err, "");
  EXPECT_FALSE(page_of(html).with_id("regressions").all("img").empty());
}

// A real browser shows it: no complaint, and something is drawn at every width and on paper.
TEST_F(Report, ABrowserShowsIt) {
  const ProgramResult there =
      run({"sh", "-c", "command -v chromium || command -v chromium-browser || command -v google-chrome"});
  if (there.code != 0) GTEST_SKIP() << "no Chromium is here";
  const std::string browser = lines_of(there.out).at(0), page = "file://" + (alone() / "report.html").string();
  const Words usual{browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"};
  for (const char* width : {"360", "1280"}) {
    const fs::path shot = folder_ / (std::string(width) + ".png");
    const ProgramResult shown =
        run(usual + Words{fmt::format("--window-size={},3000", width), "--screenshot=" + shot.string(), page});
    EXPECT_EQ(shown.err.find("CONSOLE"), std::string::npos) << shown.err;
    ASSERT_TRUE(fs::exists(shot)) << shown.err;
    const Image image = to_rgb(load_image(shot));
    std::array<int, 256> shades{};
    for (const std::uint8_t value : image.pixels) ++shades[value];
    EXPECT_GT(std::count_if(shades.begin(), shades.end(), [](int n) { return n > 0; }), 100) << "an empty page";
  }
  const fs::path pdf = folder_ / "page.pdf";
  run(usual + Words{"--print-to-pdf=" + pdf.string(), page});
  ASSERT_TRUE(fs::exists(pdf));
  EXPECT_GT(fs::file_size(pdf), 20'000u);
}

}  // namespace
}  // namespace unet::test::report_test
