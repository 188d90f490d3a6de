#include "models/normalization.h"

#include <gtest/gtest.h>

#include "models/description.h"
#include "tests/models/unet_support.h"
#include "tests/support/data_support.h"
#include "tests/support/error_of.h"

namespace unet::test::normalization_test {
namespace {

TEST(Normalization, TextsComeBack) {
  for (const char* text : {"imagenet", "unit", "0.5,0.5,0.5/0.25,0.25,0.25", "-1.5,0,1e-05/1,2,3e+20"}) {
    EXPECT_EQ(models::text_of(models::parse_normalization(text)), text);
  }
  EXPECT_EQ(models::text_of(models::parse_normalization("0.485,0.456,0.406/0.229,0.224,0.225")), "imagenet");
  EXPECT_EQ(models::text_of(models::parse_normalization("0,0,0/1,1,1")), "unit");
  EXPECT_EQ(models::text_of(models::parse_normalization("unit", 1)), "unit");
  EXPECT_EQ(models::parse_normalization("0.25/0.5", 1).deviation, std::vector<float>{0.5f});
}

/// What a file with this entry, and with nothing else that says whose it is, is told to be.
std::string text_in_file(const Metadata& metadata, std::int64_t channels = 3) {
  const Folder folder;
  models::SegmenterSpec spec;
  spec.base_channels = 2;
  spec.in_channels = channels;
  save_model(folder / "t", models::UNet(spec).parameters(), metadata);
  const models::Description description = models::describe(models::registry(), SafetensorsFile(folder / "t"));
  return models::text_of(description.spec.normalization) + (description.says_normalization ? "" : " guessed");
}

TEST(Normalization, WhatIsNoneIsRefusedAsAnOptionAndInAFile) {
  for (const char* text : {"",
                           "Unit",
                           "unit ",
                           "imagenet/unit",
                           "/",
                           "0,0,0",
                           "0,0,0/",
                           "0,0,0/1,1",
                           "0,0/1,1,1",
                           "0,0,0,0/1,1,1,1",
                           "0,0,0/1,1,0",
                           "0,0,0/1,1,-1",
                           "0,0,0/1,1,1e-60",
                           "0,0,0/1,1,1e60",
                           "nan,0,0/1,1,1",
                           "0,0,0/1,1,inf",
                           "0,0,x/1,1,1",
                           "0,,0/1,1,1",
                           "0, 0,0/1,1,1",
                           "0,0,0/1,1,1/1",
                           "0,0,0/1,1,1,",
                           "0;0;0/1;1;1",
                           "\x1b[2J"}) {
    EXPECT_NE(tests::error_of([&] { models::parse_normalization(text); }).find("expected imagenet, unit"),
              std::string::npos)
        << text;
    const std::string error = tests::error_of([&] { text_in_file({{"normalization", text}}); });
    EXPECT_NE(error.find("/t: metadata \"normalization\" is \""), std::string::npos) << error;
    EXPECT_EQ(error.find('\x1b'), std::string::npos) << error;
  }
  EXPECT_NE(tests::error_of([] { models::parse_normalization("imagenet", 1); }), "") << "three values, one channel";
  const std::string commas(10'000'000, ',');
  EXPECT_LT(tests::error_of([&] { models::parse_normalization(commas + "/" + commas); }).size(), 400u);
}

TEST(Normalization, AFileSaysItOrWeKnowWhoseItIs) {
  EXPECT_EQ(text_in_file({{"normalization", "0.5,0.5,0.5/0.25,0.25,0.25"}}), "0.5,0.5,0.5/0.25,0.25,0.25");
  EXPECT_EQ(text_in_file({{"normalization", "unit"}, {"image_size", "32x32"}}), "unit");
  EXPECT_EQ(text_in_file({{"image_size", "32x32"}}), "imagenet") << "train_unet wrote it before it said so";
  EXPECT_EQ(text_in_file({}), "unit guessed");
  EXPECT_EQ(text_in_file({{"format", "pt"}}, 1), "unit guessed");
  models::Description description;
  EXPECT_EQ(models::metadata_of(description).at("normalization"), "imagenet");
}

TEST(Normalization, TheNetworkSeesItsOwn) {
  models::SegmenterSpec spec;
  spec.base_channels = 2;
  spec.normalization = models::parse_normalization("0.5,0.25,0/0.5,1,2");
  models::UNet model(spec, 3);
  const std::vector<std::uint8_t> bytes{51, 102, 255};
  std::vector<std::uint8_t> pixels;
  std::vector<float> values;
  for (int i = 0; i < 256; ++i) {
    pixels.insert(pixels.end(), bytes.begin(), bytes.end());
    values.insert(values.end(), {-0.6f, 0.15f, 0.5f});
  }
  Tape tape(Tape::Mode::inference);
  const Tensor ours = models::logits(model, tape, Tensor::of({1, 16, 16, 3}, Dtype::u8, pixels)).value;
  const Tensor expected = model.forward(tape, tape.input(Tensor::of({1, 16, 16, 3}, Dtype::f32, values))).value;
  EXPECT_LT(relative_error(ours.values<double>(), expected.values<double>()), 1e-5);
}

}  // namespace
}  // namespace unet::test::normalization_test
