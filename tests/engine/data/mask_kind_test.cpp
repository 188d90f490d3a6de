// What the values of index masks come to: a value that does not count, and how much of the masks each class is.
#include "engine/data/mask_kind.h"

#include "tests/engine/data/sample_data.h"

namespace unet::mask_kind_test {
namespace {

using test::Folder;

/// Twelve masks of 6 x 4 pixels with values 0 and 1, the i-th with i pixels of 1 and, if it is even, one of 3.
DatasetOptions options_of(const Folder& folder) {
  for (int i = 0; i < 12; ++i) {
    Image mask = test::flat_mask(6, 4, 0);
    std::fill_n(mask.pixels.begin(), i, std::uint8_t{1});
    if (i % 2 == 0) mask.pixels.back() = 3;
    test::write_bytes(folder / "images" / (test::name_at(i) + ".png"), encode_png(test::flat_rgb(6, 4, 0)));
    test::write_bytes(folder / "masks" / (test::name_at(i) + ".png"), encode_png(mask));
  }
  test::write_text(folder / "train.txt", "pet_000\npet_002\npet_005\n");
  test::write_text(folder / "val.txt", "pet_011\n");
  DatasetOptions options;
  options.folder = folder.path();
  return options;
}

TEST(Masks, AnIgnoredValueCountsNowhere) {
  const Folder folder;
  DatasetOptions options = options_of(folder);
  test::expect_parts(test::message_of([&] { Dataset{options}; }), {"has value 3 at 1 pixels"});
  options.ignored_value = 3;
  const Dataset data(options);
  for (const Sample& sample : data.samples(Split::train)) {
    const std::uint8_t last = data.load(sample).labels.pixels.back();
    EXPECT_EQ(last, sample.name == "pet_005" ? 0 : kIgnoredLabel) << sample.name;
  }
  options.ignored_value = 0;  // a class may be one
  options.classes = 4;
  EXPECT_EQ(Dataset(options).load(data.samples(Split::train)[2]).labels.pixels.back(), kIgnoredLabel);
}

TEST(Masks, AnIgnoredValueIsOfIndexMasks) {
  const Folder folder;
  test::make_stems(folder.path(), 12, 255);
  DatasetOptions options;
  options.folder = folder.path();
  options.ignored_value = 7;
  test::expect_parts(test::message_of([&] { Dataset{options}; }), {"--ignore-index 7", "binary", "--class-map"});
}

TEST(Masks, SharesOfTheClassesAreThoseOfTheTrainingMasksThatCount) {
  const Folder folder;
  DatasetOptions options = options_of(folder);
  options.classes = 3;
  options.ignored_value = 3;
  const Dataset data(options);
  const std::vector<ClassShare>& classes = data.training_classes();
  ASSERT_EQ(classes.size(), 3u);
  // Masks 0, 2 and 5 of 24 pixels hold 0, 2 and 5 of class 1; the first two have one pixel that does not count.
  EXPECT_EQ(classes[0].pixels, 23 + 21 + 19);
  EXPECT_EQ(classes[0].pixels_around, 23 + 23 + 24);
  EXPECT_EQ(classes[1].pixels, 2 + 5);
  EXPECT_EQ(classes[1].pixels_around, 23 + 24);
  EXPECT_EQ(classes[2].pixels, 0);
  EXPECT_EQ(classes[2].pixels_around, 0);
}

}  // namespace
}  // namespace unet::mask_kind_test
