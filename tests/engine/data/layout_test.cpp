// From a folder to pairs: nothing that a folder or a list holds is left out uncounted, and every set can be split.
#include <algorithm>
#include <chrono>
#include <set>
#include <tuple>

#include "engine/data/picture_folder.h"
#include "tests/engine/data/sample_data.h"

namespace unet::layout_test {
namespace {

using test::expect_parts;
using test::Folder;
using test::make_oxford;
using test::make_stems;
using test::message_of;
using test::name_at;
using test::open;
using test::write_text;
using test::fs::path;

constexpr std::array kSplits{Split::train, Split::val, Split::test};

/// A pair of the stem layout, with the right endings for its names.
void make_pair_of(const path& folder, const std::string& stem) {
  test::write_bytes(folder / "images" / (stem + ".png"), encode_png(test::flat_rgb(6, 4, 7)));
  Image mask = test::flat_mask(6, 4, 0);
  mask.pixels[0] = 1;
  test::write_bytes(folder / "masks" / (stem + ".png"), encode_png(mask));
}

Dataset grouped(const path& folder, const std::string& pattern) {
  DatasetOptions options;
  options.folder = folder;
  options.group_by = pattern;
  return Dataset(options);
}

std::string sizes(const Dataset& data) {
  return fmt::format("{}/{}/{}", data.size(Split::train), data.size(Split::val), data.size(Split::test));
}

/// Opening must fail with these parts.
void expect_refused(const path& folder, const std::vector<std::string>& parts) {
  expect_parts(message_of([&] { open(folder); }), parts);
}

TEST(Leftovers, OfBothFoldersAreCountedAndTheFirstIsNamed) {
  Folder folder;
  make_stems(folder.path(), 12);
  const std::string plain = open(folder.path()).report();
  for (const char* words : {"sub-folders", "not decoded", "no pictures", "hidden", "no list", "text files"}) {
    EXPECT_EQ(plain.find(words), plain.npos) << plain;
  }
  test::fs::create_directories(folder / "images/raw.png");
  test::fs::create_directories(folder / "masks/old");
  for (const char* name : {"images/b.TIF", "images/a.webp", "masks/c.bmp", "masks/d.gif", "images/notes.txt",
                           "images/no_ending", "images/._pet_000.png", "masks/.DS_Store", "valid.txt"}) {
    write_text(folder / name, "x");
  }
  const Dataset data = open(folder.path());
  EXPECT_EQ(data.masks().masks, 12);
  expect_parts(data.report(),
               {"\nsub-folders, not looked into: 2, the first: images/raw.png\n",
                "\npictures of formats not decoded here (convert them to PNG): 4, the first: images/a.webp\n",
                "\nfiles that are no pictures: 2, the first: images/no_ending\n",
                "\nhidden files: 2, the first: images/._pet_000.png\n",
                "\ntext files that are not the list of a split: 1, the first: valid.txt\n"});
}

TEST(Leftovers, OfTheOxfordLayoutToo) {
  Folder folder;
  make_oxford(folder.path(), 12, 1);
  test::fs::create_directories(folder / "masks");
  write_text(folder / "annotations/list.txt", "# every name\n");
  write_text(folder / "annotations/val.txt", name_at(0));
  write_text(folder / "annotations/trimaps/._pet_000.png", "x");
  write_text(folder / "annotations/test.txt", "#Image CLASS-ID\n" + name_at(3) + " 1 1 1\n");
  write_text(folder / "annotations/trainval.txt", name_at(1) + " 1 1 1\n" + name_at(2) + ".jpg 1 1 1\n");
  expect_parts(open(folder.path()).report(),
               {"\nmasks/ is not used: there is annotations/trimaps/\n",
                "\ntext files that are not the list of a split: 1, the first: annotations/val.txt\n",
                "\nhidden files: 1, the first: annotations/trimaps/._pet_000.png\n",
                "\nimages that no list names: 10, the first: images/pet_000.jpg\n",
                "\ncomments in lists: 1, the first: annotations/test.txt:1\n",
                "taken off: 1, the first: annotations/trainval.txt:2\n"});
}

TEST(Leftovers, PicturesThatNoListNamesAreCounted) {
  Folder folder;
  make_stems(folder.path(), 6);
  write_text(folder / "train.txt", "pet_003\npet_001\n");
  write_text(folder / "val.txt", "pet_002");
  write_text(folder / "masks/pet_000.txt", "x");
  test::fs::remove(folder / "masks/pet_000.png");
  expect_parts(open(folder.path()).report(), {"\nimages that no list names: 3, the first: images/pet_000.png\n",
                                              "\nmasks that no list names: 2, the first: masks/pet_004.png\n"});
}

TEST(Leftovers, ThatAreAllThereIsAreNamedInTheError) {
  Folder folder;
  test::fs::create_directories(folder / "images/train");
  test::fs::create_directories(folder / "masks");
  write_text(folder / "images/a.tif", "x");
  expect_refused(folder.path(),
                 {"holds no pictures", "sub-folders", "images/train", "not decoded here", "images/a.tif"});
}

TEST(Leftovers, AreShownWithoutControlCharacters) {
  Folder folder;
  make_stems(folder.path(), 10);
  write_text(folder / "images/a\x1b[2J\n.tif", "x");
  expect_parts(open(folder.path()).report(), {"the first: images/a\\x1b[2J\\x0a.tif\n"});
}

TEST(ListedNames, ThatLookLikeACommentAreUsedIfThereIsSuchAPicture) {
  Folder folder;
  for (const char* stem : {"#1", "#2", "3"}) make_pair_of(folder.path(), stem);
  write_text(folder / "train.txt", "# the first two\n#1\n#3\n#2\n# the first two\n");
  write_text(folder / "val.txt", "3\n");
  const Dataset data = open(folder.path());
  EXPECT_EQ(test::names(data, Split::train), (std::vector<std::string>{"#1", "#2"}));
  expect_parts(data.report(), {"\ncomments in lists: 3, the first: train.txt:1\n"});
  write_text(folder / "val.txt", "#1\n");
  expect_refused(folder.path(), {"val.txt:1: ", "\"#1\"", "train.txt:2"});
  test::fs::remove(folder / "masks/#2.png");
  expect_refused(folder.path(), {"train.txt:4: ", "\"#2\" has no mask"});
}

TEST(ListedNames, WithTheEndingOfTheFileAreStems) {
  Folder folder;
  for (const char* stem : {"a", "b", "c.png", "c", "d"}) make_pair_of(folder.path(), stem);
  test::fs::rename(folder / "images/a.png", folder / "images/a.jpg");
  write_text(folder / "train.txt", "a.jpg\nb.png\nc.png\n");
  write_text(folder / "val.txt", "d\nc\n");
  const Dataset data = open(folder.path());
  EXPECT_EQ(test::names(data, Split::train), (std::vector<std::string>{"a", "b", "c.png"}));
  expect_parts(data.report(),
               {"\nnames in lists with the file's ending, which is taken off: 2, the first: train.txt:1\n"});
  write_text(folder / "val.txt", "d\na\n");
  expect_refused(folder.path(), {"val.txt:2: ", "\"a\"", "train.txt:1"});
  write_text(folder / "val.txt", "d\nd.png\n");
  expect_refused(folder.path(), {"val.txt:2: ", "\"d\" stands on line 1 already"});
  write_text(folder / "val.txt", "d.jpg\n");
  expect_refused(folder.path(), {"val.txt:1: ", "\"d.jpg\" has no photograph", "images/d.png is there"});
}

/// What the error about the mask of `stem` says of those that are there instead.
std::string error_of_missing(const std::string& stem, const std::vector<std::string>& masks) {
  Folder folder;
  make_stems(folder.path(), 3);
  make_pair_of(folder.path(), stem);
  test::fs::remove(folder.path() / "masks" / (stem + ".png"));
  for (const std::string& mask : masks)
    test::write_bytes(folder / "masks/" / mask, encode_png(test::flat_mask(6, 4, 1)));
  write_text(folder / "train.txt", stem + "\n");
  return message_of([&] { open(folder.path()); });
}

TEST(MissingPartner, NamesTheNearestMatch) {
  for (const auto& [stem, mask] : {std::pair{"a", "a_mask.png"},
                                   {"a", "mask_a.png"},
                                   {"a_image", "a.png"},
                                   {"cat", "Cat.png"},
                                   {"image_07", "mask_07.png"},
                                   {"pet7", "pet7_mask.jpg"}}) {
    expect_parts(error_of_missing(stem, {"zebra.png", mask, "x_17.png"}),
                 {"train.txt:1: ", fmt::format("masks/{} is there", mask), "is missing"});
  }
  EXPECT_NE(error_of_missing("pet7", {"pet7_b_mask.png", "pet7_b.png"}).find("pet7_b.png is there"), std::string::npos);
}

TEST(MissingPartner, NamesNoneThatIsAnothersOrFar) {
  // pet_001 differs by one digit from pet_009, and pet_000 to pet_002 have partners.
  for (const auto& [stem, mask] : {std::pair{"pet_009", "zebra.png"}, {"cat", "dog.png"}, {"a1", "a10.png"}}) {
    const std::string message = error_of_missing(stem, {mask});
    EXPECT_EQ(message.find("is there"), message.npos) << message;
  }
}

TEST(MissingPartner, OfAFormatNotDecodedHereIsToBeConverted) {
  for (const char* ending : {"tif", "bmp", "webp", "gif"}) {
    expect_parts(
        error_of_missing("pet7", {std::string("pet7.") + ending}),
        {"train.txt:1: ", fmt::format("masks/pet7.{} is there", ending), "not decoded here", "convert it to PNG"});
  }
  expect_parts(error_of_missing("pet7", {"pet7_mask.tif"}), {"masks/pet7_mask.tif is there"});
}

TEST(MissingPartner, IsFoundQuicklyAmongTwentyThousand) {
  PictureFolder folder;
  for (int i = 0; i < 20'000; ++i) {
    const std::string stem =
        fmt::format("{}_{}_7", std::string(static_cast<std::size_t>(1 + i % 40), 'x'),
                    std::string(static_cast<std::size_t>(1 + i / 40 % 40), 'y') + char('a' + i / 1600));
    folder.pictures[stem] = stem + ".png";
  }
  ASSERT_EQ(folder.pictures.size(), 20'000u);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(nearest("xxx_yyyc-7", folder, {}), "xxx_yyyc_7.png");
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 5);
}

/// Stems whose hash alone gives the splits these sizes.
std::vector<std::string> stems_of(int train, int val, int test) {
  static const Dataset data = [] {
    const Folder folder;
    make_stems(folder.path(), 80);  // enough of them that no split is empty: each is where its hash puts it
    return open(folder.path());
  }();
  std::vector<std::string> out;
  for (const auto& [split, count] : {std::pair{Split::train, train}, {Split::val, val}, {Split::test, test}}) {
    const std::vector<std::string> names = test::names(data, split);
    out.insert(out.end(), names.begin(), names.begin() + count);
  }
  return out;
}

TEST(HashSplit, LeavesNeitherTrainNorValEmpty) {
  for (const auto& [train, val, test, expected] : {std::tuple{8, 0, 2, "7/1/2"},
                                                   {7, 0, 1, "6/1/1"},
                                                   {10, 0, 0, "9/1/0"},
                                                   {2, 0, 0, "1/1/0"},
                                                   {0, 2, 0, "1/1/0"},
                                                   {0, 0, 2, "1/1/0"},
                                                   {0, 1, 1, "1/1/0"},
                                                   {1, 0, 1, "1/1/0"},
                                                   {0, 3, 1, "1/2/1"},
                                                   {1, 0, 3, "1/1/2"},
                                                   {8, 1, 1, "8/1/1"},
                                                   {9, 1, 0, "9/1/0"}}) {
    Folder folder;
    for (const std::string& stem : stems_of(train, val, test)) make_pair_of(folder.path(), stem);
    const Dataset data = open(folder.path());
    EXPECT_EQ(sizes(data), expected) << train << "/" << val << "/" << test;
    const bool moved = train == 0 || val == 0;
    EXPECT_EQ(data.report().find("which was empty") != std::string::npos, moved) << data.report();
    for (const Split split : kSplits) {
      if (data.size(split) == 0) continue;
      const auto names = test::names(data, split);
      EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
    }
    EXPECT_EQ(test::names(open(folder.path()), Split::val), test::names(data, Split::val));
  }
}

TEST(HashSplit, OfOnePictureIsAnErrorOfValidation) {
  Folder folder;
  make_pair_of(folder.path(), stems_of(1, 0, 0)[0]);
  const Dataset data = open(folder.path());
  expect_parts(message_of([&] { data.samples(Split::val); }),
               {"split val is empty", "train 1", "at least 2 pictures", "one to validate on"});
  EXPECT_EQ(data.size(Split::all), 1);
}

TEST(Groups, FallIntoOneSplit) {
  Folder folder;
  for (int patient = 0; patient < 60; ++patient) {
    for (int slice = 0; slice < 2; ++slice) make_pair_of(folder.path(), fmt::format("p{:02}_s{}", patient, slice));
  }
  const Dataset apart = open(folder.path()), data = grouped(folder.path(), "^(p[0-9]+)_");
  const auto patients_of = [](const Dataset& set, Split split) {
    std::set<std::string> out;
    for (const std::string& name : test::names(set, split)) out.insert(name.substr(0, 3));
    return out;
  };
  std::size_t patients = 0, torn = 0;
  for (const Split split : kSplits) {
    patients += patients_of(data, split).size();
    torn += patients_of(apart, split).size();
    EXPECT_EQ(data.size(split), 2 * static_cast<std::int64_t>(patients_of(data, split).size()));
  }
  EXPECT_EQ(patients, 60u);
  EXPECT_GT(torn, 60u) << "without groups slices of a patient stand in several splits";
  EXPECT_NE(data.hash(), apart.hash());
  expect_parts(data.report(), {"split: 80/10/10 by a hash of 60 groups\n"});
  EXPECT_EQ(data.size(Split::all), 120);

  // The split is that of the groups' text alone, whatever else the stems hold.
  Folder plain;
  for (int patient = 0; patient < 60; ++patient) make_pair_of(plain.path(), fmt::format("p{:02}", patient));
  const auto val = test::names(open(plain.path()), Split::val);
  EXPECT_EQ(patients_of(data, Split::val), (std::set<std::string>(val.begin(), val.end())));
}

TEST(Groups, OfFewLeaveOneToValidateOn) {
  Folder folder;
  for (const std::string& group : stems_of(2, 0, 0)) {
    for (const char* slice : {"_x", "_y"}) make_pair_of(folder.path(), group + slice);
  }
  EXPECT_EQ(sizes(grouped(folder.path(), "(.+)_[xy]")), "2/2/0");
  const Dataset one = grouped(folder.path(), "^(p)");
  expect_parts(message_of([&] { one.samples(one.size(Split::train) > 0 ? Split::val : Split::train); }),
               {"is empty", "at least 2 groups of pictures"});
}

TEST(Groups, AStemWithoutOneIsNamed) {
  Folder folder;
  make_stems(folder.path(), 4);
  make_pair_of(folder.path(), "stray");
  for (const char* pattern : {"^(pet)_", "^(x*)", "pet|(stray)x|s", "(pet_00[0-3])"}) {
    expect_parts(message_of([&] { grouped(folder.path(), pattern); }),
                 {"has no group by", pattern, "first capture group"});
  }
  expect_parts(message_of([&] { grouped(folder.path(), "^(pet)_"); }), {"images/stray.png: \"stray\""});
}

TEST(Groups, PatternsThatAreNoneAreRefused) {
  Folder folder;
  make_stems(folder.path(), 10);
  expect_parts(message_of([&] { grouped(folder.path(), "(pet"); }), {"\"(pet\" is no regular expression"});
  expect_parts(message_of([&] { grouped(folder.path(), "pet_"); }), {"\"pet_\" has no capture group"});
  expect_parts(message_of([&] { grouped(folder.path(), "(?:pet)_"); }), {"has no capture group"});
}

TEST(Groups, InTwoListsAreAnError) {
  Folder folder;
  for (const char* stem : {"a_1", "a_2", "b_1", "c_1"}) make_pair_of(folder.path(), stem);
  write_text(folder / "train.txt", "a_1\nb_1\n");
  write_text(folder / "val.txt", "c_1\na_2\n");
  expect_parts(message_of([&] { grouped(folder.path(), "(.)_"); }),
               {"val.txt:2: \"a_2\" is in val", "\"a_1\"", "group \"a\" in train", "train.txt:1"});
  write_text(folder / "val.txt", "c_1\n");
  write_text(folder / "test.txt", "a_2\n");
  expect_parts(message_of([&] { grouped(folder.path(), "(.)_"); }), {"test.txt:1: ", "\"a_2\"", "train.txt:1"});
  write_text(folder / "train.txt", "a_1\na_2\nb_1\n");
  test::fs::remove(folder / "test.txt");
  EXPECT_EQ(sizes(grouped(folder.path(), "(.)_")), "3/1/0");
}

TEST(Groups, TornByTheOxfordTenthAreAnError) {
  Folder folder;
  make_oxford(folder.path(), 12, 2);
  expect_parts(message_of([&] { grouped(folder.path(), "^(pet)_"); }),
               {"trainval.txt:1", "trainval.txt:2", "every tenth name"});
  EXPECT_EQ(grouped(folder.path(), "_([0-9]+)").size(Split::val), 2);
}

TEST(SplitAll, IsWhatTheListsNameOrEveryPair) {
  Folder stems, oxford;
  make_stems(stems.path(), 10);
  EXPECT_EQ(open(stems.path()).size(Split::all), 10);
  write_text(stems / "test.txt", "pet_002\npet_004\n");
  const Dataset only_test = open(stems.path());
  EXPECT_EQ(sizes(only_test), "0/0/2");
  EXPECT_EQ(test::names(only_test, Split::all), (std::vector<std::string>{"pet_002", "pet_004"}));
  expect_parts(only_test.report(), {"0 train, 0 val, 2 test", "images that no list names: 8", "masks: 2 "});
  expect_parts(message_of([&] { only_test.samples(Split::train); }), {"split train is empty", "train.txt"});
  write_text(stems / "train.txt", "pet_005\n");
  EXPECT_EQ(test::names(open(stems.path()), Split::all), (std::vector<std::string>{"pet_005", "pet_002", "pet_004"}));

  make_oxford(oxford.path(), 12, 3);
  EXPECT_EQ(open(oxford.path()).size(Split::all), 15);
  test::fs::remove(oxford / "annotations/trainval.txt");
  EXPECT_EQ(sizes(open(oxford.path())), "0/0/3");
  EXPECT_EQ(open(oxford.path()).size(Split::all), 3);
  test::fs::remove(oxford / "annotations/test.txt");
  const Dataset none = open(oxford.path());
  EXPECT_EQ(none.size(Split::all), 15);
  expect_parts(none.report(), {"no lists: one split of all 15 pairs", "masks: 15"});
  expect_parts(message_of([&] { none.samples(Split::trainval); }),
               {"split trainval is empty", "annotations/trainval.txt"});
}

}  // namespace
}  // namespace unet::layout_test
