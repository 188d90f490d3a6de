#include "apps/report/run_page.h"

#include <gtest/gtest.h>

#include <cmath>

#include <algorithm>
#include <random>

#include "apps/report/metrics_table.h"
#include "apps/report/pictures.h"
#include "kernels/probability_bins.h"
#include "tests/support/page_parser.h"

namespace unet::tests::run_page_test {
namespace {

const std::string kEvil = "</style><script>alert('x')</script> \"&quot;\xff";

/// A run of two phases of `epochs` epochs each; the best is the last but one.
CsvTable metrics_of(const std::vector<std::string>& classes, int epochs) {
  CsvTable out{
      {"phase", "epoch", "train_loss", "val_loss", "val_dice", "lr", "seconds", "images_per_second", "val_iou"}, {}};
  for (const std::string& name : classes) {
    for (const char* figure : {"dice", "iou", "precision", "recall"})
      out.columns.push_back(fmt::format("val_{}_{}", figure, name));
  }
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> share(0.1, 0.8);
  for (int phase : {1, 2}) {
    for (int epoch = 1; epoch <= epochs; ++epoch) {
      const bool best = phase == 2 && epoch == epochs - 1;
      std::vector<std::string> row{std::to_string(phase), std::to_string(epoch)};
      for (std::size_t i = 2; i < out.columns.size(); ++i) {
        row.push_back(fmt::format("{}", out.columns[i] == "val_dice" && best ? 0.912345678 : share(random)));
      }
      out.rows.push_back(std::move(row));
    }
  }
  return out;
}

RunFacts facts_of(const std::vector<std::string>& classes, int epochs) {
  RunFacts out;
  out.title = "run " + kEvil;
  out.network = "a network";
  out.classes = classes;
  out.best_by = "dice";
  out.recipe = {{.number = 1, .loss = nn::parse_loss("cross_entropy"), .epochs = epochs, .lr = 1e-3},
                {.number = 2, .loss = nn::parse_loss("dice"), .epochs = epochs, .lr = 1e-4}};
  out.data = "data " + kEvil + "\nsecond line\n";
  out.warnings = {"warning " + kEvil};
  out.options = {{"--lr", kEvil}};
  out.machine = {{"device", "cpu"}};
  out.evaluate = "eval_unet -c best.safetensors";
  out.predict = "predict_unet";
  return out;
}

/// Pictures of noise: the largest that a page can hold.
Review review_of(const std::vector<std::string>& classes) {
  Review out;
  out.phase = 2;
  out.epoch = 3;
  out.classes = classes;
  out.confusion.assign(classes.size() * classes.size(), 7);
  out.bins.assign(classes.size() * 2 * kernels::kProbabilityBins, 3);
  Image noise(400, 400, 3);
  std::mt19937_64 random(2);
  for (std::uint8_t& value : noise.pixels) value = static_cast<std::uint8_t>(random());
  const std::string uri = picture_uri(photo_in_page(noise));
  for (int i = 0; i < 6; ++i) out.pictures.push_back({"worst", kEvil, 0.5, uri, uri, uri, uri});
  out.batch.assign(8, uri);
  for (int i = 0; i < 500; ++i) out.images.push_back({fmt::format("image {}", i), i / 500.0});
  return out;
}

const RunMoment kMoment{"2026-01-01 00:00:00 UTC", "2026-01-02 00:00:00 UTC", false, 1 << 28, 0};

TEST(RunPage, SaysWhatTheRowsSay) {
  const std::vector<std::string> classes{"0", "cat"};
  const CsvTable metrics = metrics_of(classes, 4);
  const Review review = review_of(classes);
  const PageElement page =
      parse_page(run_page(facts_of(classes, 4), metrics, Best{0.9, 0.9, 2, 3, 0}, &review, kMoment));
  const auto tiles = page.with_id("best").all("data");
  EXPECT_EQ(tiles.at(0)->attributes.at("value"), "0.912345678");
  EXPECT_EQ(tiles.at(0)->text, "0.9123");
  const std::size_t row = 6;  // epoch 3 of phase 2
  std::vector<std::string> expected, found;
  for (const std::string& name : classes) {
    for (const char* figure : {"dice", "iou", "precision", "recall"}) {
      expected.push_back(metrics.rows[row][metrics.column(fmt::format("val_{}_{}", figure, name))]);
    }
    expected.push_back("14");
  }
  for (const PageElement* cell : page.with_id("classes").all("data")) found.push_back(cell->attributes.at("value"));
  EXPECT_EQ(found, expected);
  EXPECT_NE(page.with_id("status").text.find("State after epoch 4/4 of phase 2 of 2, written 2026-01-02"),
            std::string::npos);
  EXPECT_EQ(page.with_id("status").text.find("running"), std::string::npos);
  for (const char* id : {"curves", "classes", "confusion", "certainty", "pictures", "batch", "data", "phases",
                         "options", "machine", "commands"}) {
    EXPECT_NO_THROW(page.with_id(id)) << id;
  }
}

TEST(RunPage, EveryFigureSaysWhatItShowsAndTextOfOthersIsText) {
  const std::vector<std::string> classes{"0", kEvil};
  const Review review = review_of(classes);
  const std::string text =
      run_page(facts_of(classes, 4), metrics_of({"0", escaped(kEvil)}, 4), Best{0.9, 0.9, 2, 3, 0}, &review, kMoment);
  const PageElement page = parse_page(text);
  EXPECT_TRUE(page.all("script").empty());
  EXPECT_EQ(page.all("style").size(), 1u);
  const std::string shown = escaped(kEvil);
  EXPECT_EQ(page.all("h1").at(0)->text, "\nrun " + shown + "\n");
  for (const char* id : {"classes", "pictures", "data", "options", "certainty"}) {
    EXPECT_NE(page.with_id(id).text.find(shown), std::string::npos) << id;
  }
  for (const PageElement* image : page.all("img")) {
    EXPECT_FALSE(image->attributes.at("alt").empty());
    EXPECT_TRUE(image->attributes.at("src").starts_with("data:image/jpeg;base64,"));
  }
  std::size_t charts = 0;
  for (const PageElement* svg : page.all("svg")) {
    if (svg->attributes.contains("aria-hidden")) continue;
    EXPECT_EQ(svg->attributes.at("role"), "img");
    EXPECT_GT(svg->all("title").at(0)->text.size(), 10u);
    ++charts;
  }
  EXPECT_EQ(charts, 7u);
  for (const PageElement* path : page.all("path")) {
    EXPECT_EQ(path->attributes.at("d").find_first_not_of("ML .-0123456789"), std::string::npos);
  }
  EXPECT_EQ(text.find("://"), text.find("http://www.w3.org/2000/svg") + 4) << "the first address is SVG's name";
}

TEST(RunPage, IsSmallAfterTwoHundredEpochsOfElevenClasses) {
  std::vector<std::string> classes;
  for (int c = 0; c < 11; ++c) classes.push_back(fmt::format("class of a long name {}", c));
  const Review review = review_of(classes);
  const std::string page =
      run_page(facts_of(classes, 100), metrics_of(classes, 100), Best{0.9, 0.9, 2, 3, 0}, &review, kMoment);
  RecordProperty("bytes", static_cast<int>(page.size()));
  EXPECT_LT(page.size(), 3u << 20);
  EXPECT_NO_THROW(parse_page(page));
}

TEST(RunPage, BeginsWithNoEpochAndNoReview) {
  const CsvTable none{metrics_of({"0", "1"}, 1).columns, {}};
  const PageElement page = parse_page(run_page(facts_of({"0", "1"}, 4), none, std::nullopt, nullptr, kMoment));
  EXPECT_NE(page.with_id("status").text.find("no epoch is over yet"), std::string::npos);
  EXPECT_ANY_THROW(page.with_id("curves"));
}

TEST(RunPage, OfManyClassesItShowsTheLargestMistakes) {
  std::vector<std::string> classes;
  for (int c = 0; c < 255; ++c) classes.push_back(std::to_string(c));
  Review review = review_of(classes);
  review.confusion[3 * 255 + 5] = 1000;
  const std::string text =
      run_page(facts_of(classes, 4), metrics_of(classes, 4), Best{0.9, 0.9, 2, 3, 0}, &review, kMoment);
  const PageElement page = parse_page(text);
  EXPECT_LT(text.size(), 3u << 20);
  EXPECT_EQ(page.with_id("confusion").all("data").at(0)->attributes.at("value"), "1000");
}

TEST(MetricsTable, TheMovingAverageByHand) {
  const std::vector<double> average = moving_average({0.5, 1, std::nan(""), 0});
  ASSERT_EQ(average.size(), 4u);
  EXPECT_DOUBLE_EQ(average[0], 0.5);
  EXPECT_DOUBLE_EQ(average[1], 0.55);
  EXPECT_DOUBLE_EQ(average[2], 0.55);
  EXPECT_DOUBLE_EQ(average[3], 0.495);
}

}  // namespace
}  // namespace unet::tests::run_page_test
