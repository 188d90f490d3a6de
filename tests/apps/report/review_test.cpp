#include "apps/report/review.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "apps/report/review_sections.h"
#include "kernels/probability_bins.h"
#include "tests/support/file_support.h"

namespace unet::tests::review_test {
namespace {

constexpr std::size_t kBins = kernels::kProbabilityBins;

Review small_review() {
  Review out;
  out.phase = 2;
  out.epoch = 3;
  out.classes = {"0", "a \"cat\""};
  out.confusion = {10, 2, 3, 5};
  out.bins.assign(2 * 2 * kBins, 0);
  out.images = {{"one", 0.25}, {"two", std::nullopt}};
  const std::string uri = "data:image/jpeg;base64,Zm9v";
  out.pictures = {{"worst", "one", 0.25, uri, uri, uri, uri}};
  out.batch = {uri};
  return out;
}

std::int64_t& bin(Review& review, std::size_t c, std::size_t t, std::size_t b) {
  return review.bins[(2 * c + t) * kBins + b];
}

TEST(Review, ReadsBackAsWritten) {
  const Review was = small_review(), is = parse_review(to_text(was));
  EXPECT_EQ(to_text(is), to_text(was));
  EXPECT_EQ(is.pixels(1, 0), 3);
  EXPECT_EQ(is.classes[1], "a \"cat\"");
  EXPECT_EQ(is.images[0].dice, 0.25);
  EXPECT_FALSE(is.images[1].dice);
}

// Four pixels of the class at 0.995, 0.6, 0.6 and 0.1, three others at 0.7, 0.6 and 0.1.
TEST(Review, PrecisionOverRecallByHand) {
  Review review = small_review();
  bin(review, 1, 1, 99) = 1;
  bin(review, 1, 0, 70) = 1;
  bin(review, 1, 1, 60) = 2;
  bin(review, 1, 0, 60) = 1;
  bin(review, 1, 1, 10) = 1;
  bin(review, 1, 0, 10) = 1;
  const std::vector<RecallPoint> curve = recall_curve(review, 1);
  ASSERT_EQ(curve.size(), 100u);
  const auto at = [&](double threshold) {
    for (const RecallPoint& p : curve) {
      if (p.threshold == threshold) return std::pair(p.recall, p.precision);
    }
    return std::pair(-1.0, -1.0);
  };
  EXPECT_EQ(at(0.99), std::pair(0.25, 1.0));
  EXPECT_EQ(at(0.7), std::pair(0.25, 0.5));
  EXPECT_EQ(at(0.6), std::pair(0.75, 0.6));
  EXPECT_EQ(at(0.0), std::pair(1.0, 4.0 / 7));
  EXPECT_DOUBLE_EQ(average_precision(curve), 0.25 * 1 + 0.5 * 0.6 + 0.25 * 4 / 7);
  EXPECT_TRUE(recall_curve(review, 0).empty()) << "no pixel is of the class";
}

/// Some classes have the colours that tell hits from errors: one list would say two things of a colour.
TEST(Review, ColoursOfErrorsStandApartFromThoseOfClasses) {
  const std::string page = picture_rows(small_review());
  const std::size_t of_class = page.find("cat"), end = page.find("</ul>"), of_errors = page.find("picture of errors:");
  ASSERT_NE(of_errors, std::string::npos);
  EXPECT_LT(of_class, end);
  EXPECT_LT(end, of_errors);
  EXPECT_LT(of_errors, page.find("</i>hit<"));
  EXPECT_EQ(page.find("wrong class"), std::string::npos) << "there is one class to find";
}

TEST(Review, WhatNoRunWritesIsRefused) {
  using Json = nlohmann::json;
  const std::vector<std::pair<std::string, Json>> breaches{
      {"/confusion", {1, 2, 3}},
      {"/confusion/0", -1},
      {"/probability_bins", Json::array()},
      {"/classes", Json::array()},
      {"/background", "1"},
      {"/images/0/dice", 2},
      {"/pictures/0/photo", "javascript:alert(1)"},
      {"/pictures/0/photo", "data:image/jpeg;base64,\"/><script>"},
      {"/training_batch/0", "data:text/html;base64,Zm9v"},
      {"/epoch", "x"},
  };
  for (const auto& [place, value] : breaches) {
    Json json = Json::parse(to_text(small_review()));
    json[Json::json_pointer(place)] = value;
    EXPECT_NE(error_of([&] { parse_review(json.dump()); }).find("no review that this program wrote"), std::string::npos)
        << place;
  }
  const std::string whole = to_text(small_review());
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, whole.size() / 2, whole.size() - 3}) {
    EXPECT_ANY_THROW(parse_review(whole.substr(0, length))) << length;
  }
  const TemporaryFolder folder;
  EXPECT_FALSE(review_in(folder.path()));
  write_file(folder / kReviewFile, "{");
  EXPECT_NE(error_of([&] { review_in(folder.path()); }).find(kReviewFile), std::string::npos);
}

}  // namespace
}  // namespace unet::tests::review_test
