// Layouts, splits, kinds of masks, and one case for every way a data set is refused.
#include "engine/data/dataset.h"

#include <algorithm>
#include <functional>
#include <set>

#include "engine/core/rng.h"
#include "tests/engine/data/sample_data.h"
#include "tests/support/places.h"

namespace unet::dataset_test {
namespace {

using test::expect_parts;
using test::Folder;
using test::make_oxford;
using test::make_stems;
using test::message_of;
using test::name_at;
using test::open;
using test::fs::path;

TEST(Oxford, SplitsByTenth) {
  Folder folder;
  make_oxford(folder.path(), 25, 3);
  const Dataset data = open(folder.path());
  EXPECT_EQ(test::names(data, Split::val), (std::vector{name_at(0), name_at(10), name_at(20)}));
  EXPECT_EQ(data.size(Split::train), 22);
  EXPECT_EQ(test::names(data, Split::train)[9], name_at(11));
  EXPECT_EQ(data.size(Split::trainval), 25);
  EXPECT_EQ(test::names(data, Split::test), (std::vector{name_at(25), name_at(26), name_at(27)}));
  EXPECT_EQ(data.masks().kind, MaskKind::trimap);
  EXPECT_EQ(data.masks().masks, 28);
}

TEST(Oxford, CountsNoCommentsInTheTenth) {
  Folder folder;
  make_oxford(folder.path(), 12, 1);
  std::string list = "\xef\xbb\xbf# a comment\r\n\r\n";
  for (int i = 0; i < 12; ++i)
    list += fmt::format("  {}\t1 1 1 \r\n{}", name_at(i), i == 4 ? "   # between\r\n\n" : "");
  test::write_text(folder / "annotations/trainval.txt", list);
  const Dataset data = open(folder.path());
  EXPECT_EQ(test::names(data, Split::val), (std::vector{name_at(0), name_at(10)}));
  EXPECT_TRUE(data.samples(Split::trainval)[0].listed_at.ends_with("trainval.txt:3"));
  EXPECT_TRUE(data.samples(Split::trainval)[5].listed_at.ends_with("trainval.txt:10"));
}

TEST(Oxford, BorderBecomesWhatIsAsked) {
  Folder folder;
  make_oxford(folder.path(), 11, 0);
  test::write_text(folder / "annotations/test.txt", name_at(0) + "\n");
  test::fs::remove(folder / "annotations/test.txt");
  const std::array<std::pair<Border, int>, 3> labels{
      {{Border::foreground, 1}, {Border::background, 0}, {Border::ignore, kIgnoredLabel}}};
  for (const auto& [border, label] : labels) {
    const Dataset data = open(folder.path(), 2, border);
    const LabelledImage pair = data.load(data.samples(Split::train)[4]);
    EXPECT_EQ(pair.image.channels, 3);
    EXPECT_EQ(pair.image.pixels[0], 5);
    EXPECT_EQ(pair.labels.pixels[0], 1);
    EXPECT_EQ(pair.labels.pixels[1], 0);
    EXPECT_EQ(pair.labels.pixels[2], label);
  }
}

TEST(Oxford, IgnoresHiddenFiles) {
  Folder folder;
  make_oxford(folder.path(), 11, 1);
  test::write_text(folder / "annotations/trimaps/._pet_000.png", "no image");
  test::write_text(folder / "images/._pet_000.jpg", "no image");
  EXPECT_EQ(open(folder.path()).masks().masks, 12);
}

TEST(Stems, SplitByAHashThatNothingChanges) {
  Folder folder, other;
  make_stems(folder.path(), 300);
  make_stems(other.path(), 150);
  const Dataset data = open(folder.path());
  EXPECT_EQ(data.size(Split::train) + data.size(Split::val) + data.size(Split::test), 300);
  EXPECT_NEAR(static_cast<double>(data.size(Split::train)), 240, 25);
  EXPECT_NEAR(static_cast<double>(data.size(Split::val)), 30, 15);
  const auto large = test::names(data, Split::val), small = test::names(open(other.path()), Split::val);
  EXPECT_TRUE(std::includes(large.begin(), large.end(), small.begin(), small.end()));
  EXPECT_EQ((std::vector(large.begin(), large.begin() + 3)),
            (std::vector<std::string>{"pet_005", "pet_006", "pet_008"}));  // recorded
  std::set<std::string> all;
  for (const Split split : {Split::trainval, Split::test}) {
    for (const std::string& name : test::names(data, split)) EXPECT_TRUE(all.insert(name).second);
  }
}

TEST(Stems, FollowLists) {
  Folder folder;
  make_stems(folder.path(), 6);
  test::write_text(folder / "train.txt", "pet_003\npet_001\n");
  test::write_text(folder / "val.txt", "pet_002");
  const Dataset data = open(folder.path());
  EXPECT_EQ(test::names(data, Split::trainval), (std::vector{name_at(3), name_at(1), name_at(2)}));
  EXPECT_EQ(data.size(Split::test), 0);
  expect_parts(message_of([&] { data.samples(Split::test); }), {"split test is empty", "train 2", "val 1"});
}

TEST(Stems, TakeEveryExtensionInAnyCase) {
  Folder folder;
  make_stems(folder.path(), 3);
  test::write_text(folder / "images/._pet_000.jpg", "hidden, no picture and no mask");
  test::fs::rename(folder / "images/pet_000.png", folder / "images/pet_000.JPEG");
  test::fs::rename(folder / "images/pet_001.png", folder / "images/pet_001.Jpg");
  test::fs::rename(folder / "masks/pet_001.png", folder / "masks/pet_001.PNG");
  test::write_text(folder / "images/notes.txt", "not a picture");
  EXPECT_EQ(open(folder.path()).masks().masks, 3);
}

TEST(Masks, KindIsDecidedForAll) {
  Folder binary, indices, many;
  make_stems(binary.path(), 10, 255);
  EXPECT_EQ(open(binary.path()).masks().kind, MaskKind::binary);
  EXPECT_EQ(open(binary.path()).load(open(binary.path()).samples(Split::train)[0]).labels.pixels[0], 1);
  make_stems(indices.path(), 10, 1);
  EXPECT_EQ(open(indices.path()).masks().kind, MaskKind::indices);
  make_stems(many.path(), 10, 1);
  test::write_bytes(many / "masks/pet_004.png", encode_png(test::flat_mask(6, 4, 255)));
  const Dataset data = open(many.path());
  EXPECT_EQ(data.masks().kind, MaskKind::indices);
  EXPECT_EQ(data.masks().pixels[255], 24);
  EXPECT_EQ(data.masks().pixels[1], 9);
  EXPECT_EQ(data.masks().pixels[0], 9 * 23);
  for (const Sample& sample : data.samples(Split::trainval)) {
    if (sample.name == "pet_004") {
      EXPECT_EQ(data.load(sample).labels.pixels[0], kIgnoredLabel);
    }
  }
  expect_parts(data.report(), {"10 (indices)", "0 -> class 0", "255 -> ignored 10.0 %"});
}

TEST(Hash, SeesNamesSplitsAndSizes) {
  Folder folder;
  make_oxford(folder.path(), 12, 2);
  const std::uint64_t hash = open(folder.path()).hash();
  EXPECT_EQ(open(folder.path(), 2, Border::ignore, 1).hash(), hash);
  make_oxford(folder.path(), 11, 3);
  EXPECT_NE(open(folder.path()).hash(), hash);
  make_oxford(folder.path(), 12, 2);
  EXPECT_EQ(open(folder.path()).hash(), hash);
  Image changed = test::flat_rgb(12, 8, 3);
  for (std::size_t i = 0; i < changed.pixels.size(); ++i) changed.pixels[i] = static_cast<std::uint8_t>(i * 37);
  test::write_bytes(folder / "images/pet_003.jpg", encode_png(changed));
  EXPECT_NE(open(folder.path()).hash(), hash);
}

TEST(Corrupt, StopsOrSkips) {
  Folder folder;
  make_oxford(folder.path(), 110, 3);
  const std::vector<std::uint8_t> whole = encode_jpeg(test::flat_rgb(12, 8, 9));
  test::write_bytes(folder / "images/pet_007.jpg", {whole.begin(), whole.end() - 4});
  DatasetOptions options;
  options.folder = folder.path();
  const Dataset unaware(options);  // the head of the photograph is fine: seen when it is loaded
  expect_parts(message_of([&] { unaware.load(unaware.samples(Split::trainval)[7]); }),
               {"trainval.txt:8", "pet_007.jpg", "broken JPEG"});
  options.on_corrupt = OnCorrupt::skip;
  const Dataset data(options);
  ASSERT_EQ(data.skipped().size(), 1u);
  EXPECT_EQ(data.skipped()[0].name, "pet_007");
  expect_parts(data.skipped()[0].reason, {"trainval.txt:8", "pet_007.jpg", "broken JPEG"});
  EXPECT_EQ(data.size(Split::train), 98);
  EXPECT_EQ(data.size(Split::val), 11);
  EXPECT_EQ(data.size(Split::trainval), 109);
  EXPECT_NE(data.hash(), unaware.hash());
  expect_parts(data.report(), {"skipped: 1 broken", "pet_007"});
  test::write_text(folder / "annotations/trimaps/pet_008.png", "\x89PNG\r\n\x1a\nno more");
  expect_parts(message_of([&] { Dataset{options}; }), {"2 of 113", "1 %", "pet_007"});
  options.on_corrupt = OnCorrupt::stop;
  expect_parts(message_of([&] { Dataset{options}; }), {"trainval.txt:9", "pet_008.png", "broken PNG"});
}

TEST(Corrupt, TheFirstOfTheListIsNamedWhateverTheTiming) {
  for (const bool first_is_slow : {false, true}) {
    Folder folder;
    make_oxford(folder.path(), 8, 0);
    test::fs::remove(folder / "annotations/test.txt");
    const path trimaps = folder / "annotations/trimaps";
    test::write_bytes(trimaps / "pet_000.png",
                      first_is_slow ? test::slowly_broken(12, 8) : test::quickly_broken(12, 8));
    test::write_bytes(trimaps / "pet_001.png",
                      first_is_slow ? test::quickly_broken(12, 8) : test::slowly_broken(12, 8));
    for (int round = 0; round < 5; ++round) {
      expect_parts(message_of([&] { open(folder.path(), 2, Border::foreground, 2); }), {"trainval.txt:1: "});
    }
  }
}

TEST(Load, SeesWhatHasChangedSinceTheStart) {
  Folder folder;
  make_oxford(folder.path(), 11, 1);
  const Dataset data = open(folder.path());
  const Sample& sample = data.samples(Split::train)[0];
  test::write_bytes(sample.mask, test::gray_png(12, 8, 7).bytes());
  expect_parts(message_of([&] { data.load(sample); }), {"trainval.txt:2: ", "pet_001.png", "has changed"});
  test::write_bytes(sample.mask, test::gray_png(8, 12, 1).bytes());
  expect_parts(message_of([&] { data.load(sample); }), {"trainval.txt:2: ", "12x8", "8x12"});
}

TEST(Names, AreParsed) {
  EXPECT_EQ(parse_split("trainval"), Split::trainval);
  EXPECT_EQ(parse_border("ignore"), Border::ignore);
  EXPECT_EQ(parse_split("all"), Split::all);
  expect_parts(message_of([] { parse_split("most"); }), {"\"most\"", "train, val, trainval, test, all"});
  expect_parts(message_of([] { parse_border("none"); }), {"foreground, background, ignore"});
}

TEST(GivenPets, AreFoundAndUnderstood) {
  const path folder = places::given("data/pets");
  if (!test::fs::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const Dataset data = open(folder);
  EXPECT_EQ(data.size(Split::train), 270);
  EXPECT_EQ(data.size(Split::val), 30);
  EXPECT_EQ(data.size(Split::test), 298);
  EXPECT_EQ(data.masks().kind, MaskKind::trimap);
  EXPECT_GT(data.masks().pixels[2], data.masks().pixels[1]);
  EXPECT_EQ(data.masks().pixels[0], 0);
}

/// A sound data set of 12 + 2 (Oxford) or 30 (stems) pictures, one thing spoilt, and what the message must say.
struct Refusal {
  const char* title;
  bool oxford;
  std::function<void(const path&)> spoil;
  std::vector<std::string> parts;
  int classes = 2;
};

void append(const path& file, std::string_view text) { std::ofstream(file, std::ios::app | std::ios::binary) << text; }

void put_mask(const path& file, const test::PngFile& png) { test::write_bytes(file, png.bytes()); }

const std::vector<Refusal>& refusals() {
  using test::fs::create_symlink;
  using test::fs::remove;
  using test::fs::remove_all;
  static const auto trainval = [](const path& f) { return f / "annotations/trainval.txt"; };
  static const auto trimap = [](const path& f, int i) { return f / "annotations/trimaps" / (name_at(i) + ".png"); };
  static const std::vector<Refusal> all{
      {"missing_folder", true, [](const path& f) { remove_all(f); }, {"data folder", "does not exist"}},
      {"a_file_for_a_folder",
       true,
       [](const path& f) { remove_all(f), test::write_text(f, "x"); },
       {"is not a folder"}},
      {"no_layout",
       true,
       [](const path& f) { remove_all(f / "images"); },
       {"images/", "annotations/trimaps/", "masks/"}},
      {"empty_list",
       true,
       [](const path& f) { test::write_text(trainval(f), "# none\n\n"); },
       {"trainval.txt: names no pictures"}},
      {"missing_photograph",
       true,
       [](const path& f) { remove(f / "images/pet_002.jpg"); },
       {"trainval.txt:3: ", "\"pet_002\"", "no photograph", "images/pet_002.jpg is missing"}},
      {"missing_mask",
       true,
       [](const path& f) { remove(trimap(f, 3)); },
       {"trainval.txt:4: ", "no mask", "trimaps/pet_003.png is missing"}},
      {"missing_in_test",
       true,
       [](const path& f) { append(f / "annotations/test.txt", "pet_099 1 1 1\n"); },
       {"test.txt:3: ", "pet_099"}},
      {"size_mismatch",
       true,
       [](const path& f) { test::write_bytes(trimap(f, 4), encode_png(test::flat_mask(8, 12, 1))); },
       {"trainval.txt:5: ", "pet_004.jpg is 12x8", "pet_004.png is 8x12"}},
      {"value_outside",
       true,
       [](const path& f) { put_mask(trimap(f, 5), test::gray_png(12, 8, 4)); },
       {"trainval.txt:6: ", "pet_005.png", "value 4 at 96 pixels", "1 (pet), 2 (background) or 3 (border)"}},
      {"first_value_outside_wins",
       true,
       [](const path& f) {
         put_mask(trimap(f, 9), test::gray_png(12, 8, 9));
         put_mask(trimap(f, 6), test::gray_png(12, 8, 7));
       },
       {"trainval.txt:7: ", "value 7"}},
      {"rgb_mask",
       true,
       [](const path& f) {
         Image red = test::flat_rgb(12, 8, 1);
         red.pixels[0] = 2;
         test::write_bytes(trimap(f, 6), encode_png(red));
       },
       {"trainval.txt:7: ", "pet_006.png", "RGB PNG", "#020101 at x=0 y=0", "one value per pixel"}},
      {"sixteen_bit_mask",
       true,
       [](const path& f) {
         put_mask(trimap(f, 6), {12, 8, 16, 0, {}, {}, std::vector<std::uint8_t>(192, 1)});
       },
       {"trainval.txt:7: ", "16-bit PNG"}},
      {"jpeg_mask",
       true,
       [](const path& f) { test::write_bytes(trimap(f, 6), encode_jpeg(test::flat_mask(12, 8, 1))); },
       {"trainval.txt:7: ", "mask is a JPEG"}},
      {"gif_photograph",
       true,
       [](const path& f) { test::write_text(f / "images/pet_007.jpg", "GIF89a........"); },
       {"trainval.txt:8: ", "pet_007.jpg", "a GIF image", "convert"}},
      {"broken_photograph",
       true,
       [](const path& f) { test::write_text(f / "images/pet_007.jpg", "\xff\xd8\xff"); },
       {"trainval.txt:8: ", "pet_007.jpg", "broken JPEG"}},
      {"twice_in_a_list",
       true,
       [](const path& f) { append(trainval(f), "pet_003 1 1 1\n"); },
       {"trainval.txt:13: ", "\"pet_003\"", "line 4 already"}},
      {"in_two_splits",
       true,
       [](const path& f) { append(f / "annotations/test.txt", "pet_003 1 1 1\n"); },
       {"test.txt:3: ", "\"pet_003\"", "trainval.txt:4"}},
      {"stems_in_two_splits",
       false,
       [](const path& f) {
         test::write_text(f / "train.txt", "pet_001\n");
         test::write_text(f / "val.txt", "\npet_001\n");
       },
       {"val.txt:2: ", "pet_001", "train.txt:1"}},
      {"parent_folder",
       true,
       [](const path& f) { append(trainval(f), "../images/pet_001 1 1 1\n"); },
       {"trainval.txt:13: ", "\"../images/pet_001\"", "another folder"}},
      {"absolute_path",
       false,
       [](const path& f) { test::write_text(f / "train.txt", "/etc/passwd\n"); },
       {"train.txt:1: ", "\"/etc/passwd\"", "another folder"}},
      {"backslash_path",
       false,
       [](const path& f) { test::write_text(f / "train.txt", "..\\pet_001\n"); },
       {"train.txt:1: ", "another folder"}},
      {"linked_photograph",
       true,
       [](const path& f) {
         remove(f / "images/pet_001.jpg");
         create_symlink("/etc/passwd", f / "images/pet_001.jpg");
       },
       {"images/pet_001.jpg", "a link to /etc/passwd", "outside the data folder"}},
      {"linked_folder",
       true,
       [](const path& f) {
         remove_all(f / "images");
         create_symlink("/etc", f / "images");
       },
       {"images", "a link to /etc", "outside"}},
      {"dangling_link",
       true,
       [](const path& f) {
         remove(f / "images/pet_001.jpg");
         create_symlink("gone.jpg", f / "images/pet_001.jpg");
       },
       {"images/pet_001.jpg", "cannot be followed"}},
      {"nul_byte",
       true,
       [](const path& f) { append(trainval(f), std::string_view("pet\0_001\n", 9)); },
       {"trainval.txt:13: ", "NUL byte", "UTF-8"}},
      {"control_character",
       true,
       [](const path& f) { append(trainval(f), "pet\x1b[31m 1 1 1\n"); },
       {"trainval.txt:13: ", "control character at byte 4"}},
      {"control_character_above_ascii",
       false,
       [](const path& f) { test::write_text(f / "train.txt", "pet_001\xc2\x9b\n"); },
       {"train.txt:1: ", "control character at byte 8"}},
      {"line_of_a_megabyte",
       true,
       [](const path& f) { append(trainval(f), std::string(1 << 20, 'x')); },
       {"trainval.txt:13: ", "1048576 bytes"}},
      {"duplicate_stem",
       false,
       [](const path& f) { test::fs::copy_file(f / "images/pet_001.png", f / "images/pet_001.jpg"); },
       {"images/pet_001.png", "has the stem of", "images/pet_001.jpg"}},
      {"photograph_without_mask",
       false,
       [](const path& f) { remove(f / "masks/pet_001.png"); },
       {"images/pet_001.png: ", "no mask", "masks/pet_001.png is missing"}},
      {"mask_without_photograph",
       false,
       [](const path& f) { remove(f / "images/pet_001.png"); },
       {"masks/pet_001.png: ", "no photograph"}},
      {"nothing_at_all",
       false,
       [](const path& f) {
         for (int i = 0; i < 30; ++i)
           remove(f / "images" / (name_at(i) + ".png")), remove(f / "masks" / (name_at(i) + ".png"));
       },
       {"images: holds no pictures"}},
      {"class_outside",
       false,
       [](const path& f) { put_mask(f / "masks/pet_001.png", test::gray_png(6, 4, 3)); },
       {"pet_001.png", "value 3 at 24 pixels", "0..2 or 255 (ignored) for 3 classes", "number of classes"},
       3},
      {"palette_index_outside",
       false,
       [](const path& f) {
         put_mask(f / "masks/pet_001.png", {6, 4, 8, 3, {0, 0, 0, 1, 1, 1}, {}, std::vector<std::uint8_t>(24, 2)});
       },
       {"pet_001.png", "palette index 2", "2 entries"},
       3},
      {"photograph_turned_by_exif",
       false,
       [](const path& f) {
         std::vector<std::uint8_t> jpeg = encode_jpeg(test::flat_rgb(6, 4, 1));
         const std::vector<std::uint8_t> exif{0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0,    'M', 'M',
                                              0,    42,   0, 0,  0,   8,   0,   1,   1, 0x12, 0,   3,
                                              0,    0,    0, 1,  0,   6,   0,   0,   0, 0,    0,   0};
         jpeg.insert(jpeg.begin() + 2, exif.begin(), exif.end());
         test::write_bytes(f / "images/pet_001.png", jpeg);
       },
       {"pet_001.png is 4x6", "is 6x4", "EXIF"}},
      {"one_class", false, [](const path&) {}, {"1 classes", "2 to 255"}, 1},
      {"trimaps_of_three_classes", true, [](const path&) {}, {"2 classes, not 3"}, 3},
  };
  return all;
}

class DatasetRefuses : public testing::TestWithParam<std::size_t> {};

TEST_P(DatasetRefuses, WithFileAndReason) {
  const Refusal& refusal = refusals()[GetParam()];
  Folder outer;
  const path folder = outer / "data";
  refusal.oxford ? make_oxford(folder, 12, 2) : make_stems(folder, 30);
  ASSERT_NO_THROW(open(folder, refusal.oxford ? 2 : 3));
  refusal.spoil(folder);
  std::string first;
  for (const int threads : {1, 4}) {
    const std::string message = message_of([&] { open(folder, refusal.classes, Border::foreground, threads); });
    expect_parts(message, refusal.parts);
    if (first.empty()) first = message;
    EXPECT_EQ(message, first) << "with " << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Each, DatasetRefuses, testing::Range(std::size_t{0}, refusals().size()),
                         [](const auto& each) { return refusals()[each.param].title; });

}  // namespace
}  // namespace unet::dataset_test
