#include "apps/run/class_weights.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"

namespace unet::class_weights_test {
namespace {

using tests::error_of;

TEST(ClassWeights, ATextIsWeights) {
  for (const char* text : {"none", "inverse", "median-frequency", "1,2", "0.5,0,3,0.001", "2"}) {
    EXPECT_EQ(text_of(parse_class_weights(text)), text);
  }
  EXPECT_EQ(parse_class_weights("1.50,2").given, (std::vector<double>{1.5, 2}));
  const std::string expected =
      " are no class weights, expected none, inverse, median-frequency or numbers from 0 on, W,W,..., one for each "
      "class";
  for (const char* text : {"", "1,", "1,-1", "1,nan", "1, 2", "1,inf", "1;2"}) {
    EXPECT_EQ(error_of([&] { parse_class_weights(text); }), "\"" + std::string(text) + "\"" + expected) << text;
  }
  EXPECT_EQ(error_of([] { parse_class_weights("inverted"); }), "\"inverted\"" + expected + "; the nearest is inverse");
  EXPECT_EQ(error_of([] { parse_class_weights("0,0"); }),
            "the class weights 0,0 leave nothing to learn, expected one above 0");
}

TEST(ClassWeights, FollowFromThePixels) {
  const std::vector<ClassShare> classes{{60, 100}, {0, 0}, {30, 50}, {10, 50}};
  EXPECT_EQ(weights_of(parse_class_weights("none"), classes), std::vector<double>{});
  EXPECT_EQ(weights_of(parse_class_weights("1,2,3,4"), classes), (std::vector<double>{1, 2, 3, 4}));
  const auto expect_close = [&](const char* text, const std::vector<double>& expected) {
    const std::vector<double> got = weights_of(parse_class_weights(text), classes);
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t c = 0; c < got.size(); ++c) EXPECT_NEAR(got[c], expected[c], 1e-15) << text << " " << c;
  };
  // 100 pixels of three classes that are there.
  expect_close("inverse", {100 / (3 * 60.0), 0, 100 / (3 * 30.0), 100 / (3 * 10.0)});
  // Frequencies 0.6, 0.6 and 0.2: the median is 0.6.
  expect_close("median-frequency", {1, 0, 1, 3});
}

TEST(ClassWeights, TheMedianOfAnEvenNumberIsTheMeanOfTheMiddle) {
  const std::vector<double> got = weights_of(parse_class_weights("median-frequency"), {{75, 100}, {25, 100}});
  EXPECT_NEAR(got[0], 0.5 / 0.75, 1e-15);
  EXPECT_NEAR(got[1], 0.5 / 0.25, 1e-15);
}

}  // namespace
}  // namespace unet::class_weights_test
