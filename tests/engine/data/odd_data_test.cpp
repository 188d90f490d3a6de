// Masks and photographs that are odd: what is an error, what a warning, what is counted; and what the hash sees.
#include <functional>

#include "tests/engine/data/sample_data.h"

namespace unet::odd_data_test {
namespace {

using test::expect_parts;
using test::Folder;
using test::make_stems;
using test::message_of;
using test::name_at;
using test::open;
using test::fs::path;

/// Mask `i` of a folder made by make_stems (6x4, lists of all in training) holds these values and 0.
void put_values(const path& folder, int i, const std::vector<std::uint8_t>& values) {
  Image mask = test::flat_mask(6, 4, 0);
  std::copy(values.begin(), values.end(), mask.pixels.begin());
  test::write_bytes(folder / "masks" / (name_at(i) + ".png"), encode_png(mask));
}

void put_photograph(const path& folder, int i, const std::vector<std::uint8_t>& bytes) {
  test::write_bytes(folder / "images" / (name_at(i) + ".png"), bytes);
}

/// images/ and masks/ of ten pairs, the first eight in training, the others in validation.
struct Ten : Folder {
  explicit Ten(std::uint8_t other = 1) {
    make_stems(path(), 10, other);
    std::string train;
    for (int i = 0; i < 8; ++i) train += name_at(i) + "\n";
    test::write_text(*this / "train.txt", train);
    test::write_text(*this / "val.txt", name_at(8) + "\n" + name_at(9) + "\n");
  }
  std::string mask(int i) const { return (*this / "masks" / (name_at(i) + ".png")).string(); }
  std::string image(int i) const { return (*this / "images" / (name_at(i) + ".png")).string(); }
};

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST(OddMasks, ZeroAnd255AreTwoClassesAndNoMore) {
  const Ten data(255);
  EXPECT_EQ(open(data.path()).masks().kind, MaskKind::binary);
  expect_parts(message_of([&] { open(data.path(), 3); }),
               {"nothing but 0 and 255", "3 are asked for", data.mask(0), "class indices 0..2"});
}

TEST(OddMasks, AFewOtherValuesAmong0And255AreNamed) {
  const Ten data(255);
  put_values(data.path(), 3, {1});
  put_values(data.path(), 9, {255, 7});
  for (const int classes : {2, 3}) {
    expect_parts(message_of([&] { open(data.path(), classes); }),
                 {"8 masks hold nothing but 0 and 255", "2 hold other values", data.mask(3) + " (value 1)",
                  data.mask(9) + " (value 7)", "save the odd ones as 0 and 255"});
  }
}

TEST(OddMasks, IndicesWithAnIgnoredBorderAreIndices) {
  const Ten data;
  for (int i = 0; i < 10; ++i) put_values(data.path(), i, {static_cast<std::uint8_t>(1 + i % 2), 255});
  put_values(data.path(), 4, {});  // nothing to see, so no border
  const Dataset set = open(data.path(), 3);
  EXPECT_EQ(set.masks().kind, MaskKind::indices);
  EXPECT_EQ(joined(set.warnings()), "");
  EXPECT_TRUE(set.check_trainable().empty());
}

TEST(OddMasks, AFewOf0And255AmongIndicesAreWarnedOf) {
  const Ten data;
  put_values(data.path(), 2, {255});
  put_values(data.path(), 5, {255, 255});
  const Dataset set = open(data.path());
  EXPECT_EQ(set.masks().kind, MaskKind::indices);
  expect_parts(joined(set.warnings()), {"255 means ignored, and 2 of 10 masks", data.mask(2)});
}

TEST(OddMasks, TrainingNeedsTwoClassesInItsMasks) {
  const Ten data;
  EXPECT_TRUE(open(data.path()).check_trainable().empty());
  for (int i = 0; i < 8; ++i) put_values(data.path(), i, {});
  const Dataset empty = open(data.path());  // validation holds class 1, and opening is fine
  expect_parts(message_of([&] { empty.check_trainable(); }),
               {data.path().string(), "the 8 training masks hold class 0 alone, no foreground", "nothing to learn",
                "1 -> class 1"});
  for (int i = 0; i < 8; ++i) put_values(data.path(), i, std::vector<std::uint8_t>(24, 1));
  expect_parts(message_of([&] { open(data.path()).check_trainable(); }), {"hold class 1 alone"});
  for (int i = 0; i < 8; ++i) put_values(data.path(), i, std::vector<std::uint8_t>(24, 255));
  for (const int i : {8, 9}) put_values(data.path(), i, {1});
  for (int i = 0; i < 8; ++i) {
    if (i % 2 == 0) put_values(data.path(), i, std::vector<std::uint8_t>(24, 2));
  }
  expect_parts(message_of([&] { open(data.path(), 3).check_trainable(); }), {"hold class 2 alone"});
}

TEST(OddMasks, AClassThatNoTrainingMaskHoldsIsWarnedOf) {
  const Ten data;
  put_values(data.path(), 8, {2});  // in validation
  expect_parts(joined(open(data.path(), 4).check_trainable()), {"no training mask holds class 2, 3:"});
  put_values(data.path(), 7, {2, 3});
  EXPECT_TRUE(open(data.path(), 4).check_trainable().empty());
}

test::PngFile palette_mask(std::vector<std::uint8_t> palette, std::uint8_t index) {
  test::PngFile png{6, 4, 8, 3, std::move(palette), {}, std::vector<std::uint8_t>(24, 0)};
  png.rows[0] = index;
  return png;
}

TEST(OddMasks, EqualColoursUnderOtherIndicesAreWarnedOf) {
  const Ten data;
  const std::vector<std::uint8_t> red_first{0, 0, 0, 255, 0, 0, 0, 255, 0}, green_first{0, 0, 0, 0, 255, 0, 255, 0, 0};
  const auto put = [&](int i, const test::PngFile& png) { test::write_bytes(data.mask(i), png.bytes()); };
  for (int i = 0; i < 10; ++i) put(i, palette_mask(red_first, static_cast<std::uint8_t>(1 + i % 2)));
  EXPECT_EQ(joined(open(data.path(), 3).warnings()), "");
  put(5, palette_mask(green_first, 2));
  put(7, palette_mask(green_first, 2));
  expect_parts(joined(open(data.path(), 3).warnings()),
               {"2 palette masks", "#ff0000 is index 1 in " + data.mask(0), "index 2 in " + data.mask(5)});
  // Colours that no pixel has do not count.
  for (const int i : {5, 7}) put(i, palette_mask({0, 0, 0, 255, 0, 0, 255, 0, 0}, 1));
  EXPECT_EQ(joined(open(data.path(), 3).warnings()), "");
}

DatasetOptions options_of(const path& folder, std::int64_t height, std::int64_t width, int classes = 3) {
  DatasetOptions options;
  options.folder = folder;
  options.classes = classes;
  options.height = height;
  options.width = width;
  return options;
}

TEST(OddMasks, ClassesThatVanishAtTheNetworksSizeAreCounted) {
  const Ten data;
  for (int i = 0; i < 10; ++i) {
    Image mask = test::flat_mask(6, 4, i < 9 ? 1 : 0);
    if (i < 7) std::fill_n(mask.row(i < 4 ? 0 : 1), 6, std::uint8_t{2});  // of 4 rows 1 and 3 are taken for 2
    test::write_bytes(data.mask(i), encode_png(mask));
  }
  const Dataset small(options_of(data.path(), 2, 6));
  expect_parts(small.report(),
               {"class 2 vanishes in 4 of 7 masks that hold it at 2x6: a larger --image-size keeps it"});
  EXPECT_EQ(small.report().find("class 1 vanishes"), std::string::npos);
  EXPECT_EQ(joined(small.warnings()), "");
  EXPECT_EQ(Dataset(options_of(data.path(), 4, 3)).report().find("vanishes"), std::string::npos);
  EXPECT_EQ(Dataset(options_of(data.path(), 64, 64)).report().find("vanishes"), std::string::npos);
  EXPECT_EQ(Dataset(options_of(data.path(), 0, 0)).report().find("vanishes"), std::string::npos);
  for (int i = 4; i < 7; ++i) put_values(data.path(), i, {});
  expect_parts(joined(Dataset(options_of(data.path(), 2, 6)).warnings()), {"class 2 vanishes in 4 of 4 masks"});
}

TEST(OddPhotographs, ThoseTurnedByExifAreCounted) {
  const Ten data;
  EXPECT_EQ(open(data.path()).report().find("EXIF"), std::string::npos);
  Image photo = test::flat_rgb(6, 4, 7);
  photo.pixels[0] = 200;
  put_photograph(data.path(), 4, test::png_with_orientation(photo, 3));
  put_photograph(data.path(), 6, test::png_with_orientation(photo, 2));
  const auto red_corner = [](const Dataset& set) { return set.load(set.samples(Split::train)[4]).image.pixels[0]; };
  const Dataset turned = open(data.path());
  expect_parts(turned.report(), {"EXIF: 2 photographs turned upright", data.image(4), "--exif ignore"});
  EXPECT_EQ(red_corner(turned), 7);
  DatasetOptions as_stored = options_of(data.path(), 0, 0, 2);
  as_stored.exif = Exif::ignore;
  const Dataset stored(as_stored);
  expect_parts(stored.report(), {"EXIF: 2 photographs not turned", data.image(4)});
  EXPECT_EQ(red_corner(stored), 200);
}

TEST(OddPhotographs, SidesThatExifSwapsAreExplained) {
  const Ten data;
  put_photograph(data.path(), 4, test::png_with_orientation(test::flat_rgb(6, 4, 7), 6));
  expect_parts(message_of([&] { open(data.path()); }), {data.image(4) + " is 4x6", "is 6x4", "--exif ignore"});
  DatasetOptions as_stored = options_of(data.path(), 0, 0, 2);
  as_stored.exif = Exif::ignore;
  EXPECT_NO_THROW(Dataset{as_stored});
  put_photograph(data.path(), 4, test::png_with_orientation(test::flat_rgb(4, 6, 7), 6));
  EXPECT_NO_THROW(open(data.path()));
  expect_parts(message_of([&] { Dataset{as_stored}; }), {data.image(4) + " is 4x6", "is 6x4", "--exif apply"});
}

std::vector<std::uint8_t> rgba(std::uint8_t alpha) {
  test::PngFile png{6, 4, 8, 6, {}, {}, std::vector<std::uint8_t>(96, 255)};
  png.rows[7] = alpha;
  return png.bytes();
}

TEST(OddPhotographs, TransparentPixelsAreCounted) {
  const Ten data;
  EXPECT_EQ(open(data.path()).report().find("alpha"), std::string::npos);
  put_photograph(data.path(), 1, rgba(1));
  put_photograph(data.path(), 3, rgba(0));
  test::PngFile keyed = test::gray_png(6, 4, 9);
  keyed.transparency = {0, 9};
  put_photograph(data.path(), 5, keyed.bytes());
  expect_parts(open(data.path()).report(),
               {"alpha: dropped from 3 photographs; 2 of the 3 with transparent pixels", data.image(3)});
  put_photograph(data.path(), 3, rgba(1));
  put_photograph(data.path(), 5, rgba(1));
  expect_parts(open(data.path()).report(), {"dropped from 3 photographs; 0 of the 3", data.image(1)});
}

TEST(OddPhotographs, OfManyTheFirstAreLookedInto) {
  const Folder folder;
  make_stems(folder.path(), 210, 1);
  for (int i = 0; i < 210; ++i) put_photograph(folder.path(), i, rgba(0));
  expect_parts(open(folder.path()).report(), {"dropped from 210 photographs; 200 of the first 200"});
}

std::vector<std::uint8_t> deep(int low, int high, int color_type = 0) {
  const int channels = color_type == 0 ? 1 : 4;
  test::PngFile png{6, 4, 16, color_type, {}, {}, {}};
  for (int i = 0; i < 24 * channels; ++i) {
    const int value = i % channels == 3 ? 65535 : i < 12 ? low : high;
    png.rows.push_back(static_cast<std::uint8_t>(value >> 8));
    png.rows.push_back(static_cast<std::uint8_t>(value));
  }
  return png.bytes();
}

TEST(OddPhotographs, SixteenBitsOfWhichFewAreUsedAreWarnedOf) {
  const Ten data;
  put_photograph(data.path(), 0, deep(0, 65535));
  put_photograph(data.path(), 1, deep(0, 4096));
  EXPECT_EQ(joined(open(data.path()).warnings()), "");
  put_photograph(data.path(), 2, deep(0, 4095));
  put_photograph(data.path(), 3, deep(30000, 31000));
  put_photograph(data.path(), 4, deep(0, 4095, 6));
  expect_parts(joined(open(data.path()).warnings()),
               {"3 of the 5 photographs of 16 bits", "less than a sixteenth", "Scale", data.image(2)});
}

TEST(OddPhotographs, ABrokenOneThatIsLookedIntoIsNamed) {
  const Ten data;
  std::vector<std::uint8_t> cut = rgba(0);
  cut.resize(cut.size() - 20);
  put_photograph(data.path(), 6, cut);
  expect_parts(message_of([&] { open(data.path()); }), {"train.txt:7: ", data.image(6), "broken PNG"});
}

TEST(Hash, SeesThePixelsOfMasks) {
  const Ten data;
  const auto hash = [&](int threads = 2, OnCorrupt on_corrupt = OnCorrupt::stop) {
    DatasetOptions options = options_of(data.path(), 0, 0, 2);
    options.threads = threads;
    options.on_corrupt = on_corrupt;
    return Dataset(options).hash();
  };
  test::PngFile mask = test::gray_png(6, 4, 0);  // not compressed: the file's size tells nothing
  mask.rows[22] = 1;
  test::write_bytes(data.mask(5), mask.bytes());
  const std::uint64_t before = hash();
  EXPECT_EQ(hash(1), before);
  EXPECT_EQ(hash(7, OnCorrupt::skip), before);
  for (const std::size_t other : {23, 1}) {  // the last byte, one within a word
    std::swap(mask.rows[22], mask.rows[other]);
    test::write_bytes(data.mask(5), mask.bytes());
    EXPECT_NE(hash(), before);
    std::swap(mask.rows[22], mask.rows[other]);
  }
  test::write_bytes(data.mask(5), mask.bytes());
  EXPECT_EQ(hash(), before);
}

}  // namespace
}  // namespace unet::odd_data_test
