// Folders as people have them: every known layout is recognised, said in the report, and split as it says.
#include "engine/data/layout_kind.h"

#include "tests/engine/data/sample_data.h"

namespace unet::layout_kind_test {
namespace {

using test::expect_parts;
using test::Folder;
using test::message_of;
using test::write_text;
using test::fs::path;

void put(const path& image, const path& mask, std::uint8_t tone = 7) {
  test::write_bytes(image, encode_png(test::flat_rgb(6, 4, tone)));
  Image labels = test::flat_mask(6, 4, 0);
  labels.pixels[0] = 1;
  test::write_bytes(mask, encode_png(labels));
}

DatasetOptions in(const path& folder) {
  DatasetOptions options;
  options.folder = folder;
  return options;
}

std::string sizes(const Dataset& data) {
  return fmt::format("{}/{}/{}", data.size(Split::train), data.size(Split::val), data.size(Split::test));
}

/// Pairs of a split: images/0.png ..., each with a mask of the same stem.
void put_split(const path& images, const path& masks, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string name = std::to_string(i) + ".png";
    put(images / name, masks / name, static_cast<std::uint8_t>(i));
  }
}

TEST(Layouts, FoldersOfSplitsWithinImagesAndMasks) {
  Folder folder;
  for (const auto& [split, count] : {std::pair{"train", 4}, {"val", 2}, {"test", 3}}) {
    put_split(folder / "images" / split, folder / "masks" / split, count);
  }
  write_text(folder / "images/notes.txt", "x");
  const Dataset data(in(folder.path()));
  EXPECT_EQ(sizes(data), "4/2/3");
  EXPECT_FALSE(data.split_by_hash());
  expect_parts(data.report(),
               {": images/train/, images/val/, images/test/ with masks/train/, masks/val/, masks/test/, 4 train",
                "files beside the folders of the splits, not used: 1, the first: images/notes.txt"});
  EXPECT_EQ(test::names(data, Split::val), (std::vector<std::string>{"val_0", "val_1"})) << "train has 0 and 1, too";
  EXPECT_EQ(data.size(Split::all), 9);
}

TEST(Layouts, ImagesAndMasksWithinFoldersOfSplits) {
  Folder folder;
  put_split(folder / "train/imgs", folder / "train/labels", 4);
  put_split(folder / "valid/image", folder / "valid/mask", 2);
  const Dataset data(in(folder.path()));
  EXPECT_EQ(sizes(data), "4/2/0");
  expect_parts(data.report(), {": train/imgs/, valid/image/ with train/labels/, valid/mask/, 4 train"});
  expect_parts(message_of([&] { data.samples(Split::test); }),
               {"split test is empty", "give it folders like those of train (train/imgs and train/labels)"});
}

TEST(Layouts, CamVid) {
  Folder folder;
  for (const std::string split : {"train", "val", "test"}) put_split(folder / split, folder / (split + "annot"), 2);
  EXPECT_EQ(sizes(Dataset(in(folder.path()))), "2/2/2");
}

TEST(Layouts, ATenthOfTrainValidatesWhereThereIsNoVal) {
  Folder folder;
  put_split(folder / "train/images", folder / "train/masks", 40);
  put_split(folder / "test/images", folder / "test/masks", 5);
  const Dataset data(in(folder.path()));
  EXPECT_EQ(data.size(Split::test), 5);
  EXPECT_GE(data.size(Split::val), 1);
  EXPECT_LE(data.size(Split::val), 10);
  EXPECT_EQ(data.size(Split::train) + data.size(Split::val), 40);
  EXPECT_TRUE(data.split_by_hash());
  expect_parts(data.report(), {"\nsplit of train, there is no val: 90/10 by a hash of the stems\n"});
  test::fs::remove_all(folder / "test/masks");
  const Dataset without(in(folder.path()));
  EXPECT_GT(without.size(Split::test), 0);
  expect_parts(without.report(), {"test/ is not used: it has no masks", "80/10/10 by a hash"});
}

TEST(Layouts, PascalVoc) {
  Folder folder;
  for (const char* stem : {"a", "b", "c"}) {
    put(folder / "JPEGImages" / (std::string(stem) + ".jpg"),
        folder / "SegmentationClass" / (std::string(stem) + ".png"));
  }
  test::write_bytes(folder / "JPEGImages/unlabelled.jpg", encode_png(test::flat_rgb(6, 4, 7)));
  write_text(folder / "ImageSets/Segmentation/train.txt", "a\nb\n");
  write_text(folder / "ImageSets/Segmentation/val.txt", "c\n");
  write_text(folder / "ImageSets/Segmentation/trainval.txt", "a\nb\nc\n");
  const Dataset data(in(folder.path()));
  EXPECT_EQ(sizes(data), "2/1/0");
  expect_parts(data.report(),
               {": Pascal VOC layout, 2 train", "images that no list names: 1, the first: JPEGImages/unl"});
  EXPECT_EQ(data.report().find("text files"), std::string::npos) << data.report();
}

TEST(Layouts, NamedByTheOptions) {
  Folder folder, elsewhere;
  put_split(folder / "raw", elsewhere / "marks", 12);
  DatasetOptions options = in(folder.path());
  options.images = "raw";
  options.masks = elsewhere.path() / "marks";
  EXPECT_EQ(Dataset(options).size(Split::all), 12);
  write_text(folder / "a.txt", "3\n4\n");
  write_text(elsewhere / "b.txt", "5\n");
  options.lists = {"a.txt", elsewhere / "b.txt", ""};
  const Dataset data(options);
  EXPECT_EQ(test::names(data, Split::train), (std::vector<std::string>{"3", "4"}));
  EXPECT_EQ(test::names(data, Split::val), (std::vector<std::string>{"5"}));
  expect_parts(message_of([&] { data.samples(Split::test); }), {"name its pictures with --test-list"});
  options.masks = "none";
  expect_parts(message_of([&] { Dataset{options}; }), {(folder / "none").string(), "is no folder"});
}

TEST(Layouts, OfAFolderASplitTakeNoLists) {
  Folder folder;
  put_split(folder / "train/image", folder / "train/label", 5);
  write_text(folder / "a.txt", "3\n4\n");
  DatasetOptions options = in(folder.path());
  options.lists[1] = "a.txt";
  expect_parts(
      message_of([&] { Dataset{options}; }),
      {"--val-list a.txt: " + folder.path().string() + " has folders for its splits (train/image), ", "--images"});
  options.images = "train/image", options.masks = "train/label", options.lists[0] = "a.txt", options.lists[1] = "";
  EXPECT_EQ(Dataset(options).size(Split::train), 2);
}

TEST(Layouts, MasksMayShareASuffix) {
  Folder folder;
  for (const char* stem : {"1", "10", "cat"}) {
    put(folder / "images" / (std::string(stem) + ".jpg"), folder / "masks" / (std::string(stem) + "_mask.png"));
  }
  const Dataset data(in(folder.path()));
  EXPECT_EQ(data.size(Split::all), 3);
  expect_parts(data.report(), {": images/ and masks/ (masks end in _mask), "});
  put(folder / "images/dog.jpg", folder / "masks/dog_label.png");
  expect_parts(message_of([&] { Dataset{in(folder.path())}; }), {"\"1\" has no mask", "1_mask.png is there"});
  test::fs::rename(folder / "masks/dog_label.png", folder / "masks/dog.png");
  expect_parts(message_of([&] { Dataset{in(folder.path())}; }), {"\"1\" has no mask"});
  DatasetOptions options = in(folder.path());
  options.mask_suffix = "_mask";
  expect_parts(message_of([&] { Dataset{options}; }), {"\"dog\" has no mask", "dog_mask.png is missing"});
  test::fs::remove(folder / "images/dog.jpg");
  expect_parts(Dataset(options).report(), {"masks whose names do not end in _mask: 1, the first: masks/dog.png"});
  options.mask_suffix = "_seg";
  expect_parts(message_of([&] { Dataset{options}; }), {"no picture's name ends in \"_seg\""});
}

TEST(Layouts, PhotographsAndMasksMayLieInOneFolder) {
  Folder folder;
  for (const char* stem : {"a", "b", "c"}) {
    put(folder / "all" / (std::string(stem) + "_sat.jpg"), folder / "all" / (std::string(stem) + "_sat_mask.png"));
  }
  DatasetOptions options = in(folder.path());
  options.images = options.masks = "all";
  expect_parts(message_of([&] { Dataset{options}; }), {"holds the photographs and the masks: give --mask-suffix"});
  options.mask_suffix = "_mask";
  EXPECT_EQ(Dataset(options).size(Split::all), 3);
}

TEST(Layouts, LinksOutOfTheFolderAreFollowedIfAskedFor) {
  Folder folder, elsewhere;
  put_split(elsewhere / "images", elsewhere / "masks", 4);
  test::fs::create_directory(folder / "images");
  for (int i = 0; i < 4; ++i) {
    const std::string name = fmt::format("{}.png", i);
    test::fs::create_symlink(elsewhere / "images" / name, folder / "images" / name);
  }
  test::fs::create_directory_symlink(elsewhere / "masks", folder / "masks");
  DatasetOptions options = in(folder.path());
  expect_parts(message_of([&] { Dataset{options}; }), {"lies outside the data folder", "--follow-links"});
  options.follow_links = true;
  const Dataset data(options);
  EXPECT_EQ(data.size(Split::all), 4);
  expect_parts(data.report(), {"links out of the data folder, followed: 5, the first: images/0.png"});
  write_text(folder / "train.txt", "../0\n");
  expect_parts(message_of([&] { Dataset{options}; }), {"train.txt:1", "leads to another folder"});
}

TEST(Layouts, NotKnownAreToldWhatIs) {
  Folder folder;
  test::fs::create_directories(folder / "photos");
  test::fs::create_directories(folder / "train/photos");
  expect_parts(message_of([&] { Dataset{in(folder.path())}; }),
               {"no layout that is known here", "images/ and masks/", "CamVid", "Pascal VOC", "Oxford-IIIT Pet",
                "--images DIR --masks DIR", "It holds photos/, train/"});
}

TEST(Layouts, GroupsStayInTheFolderOfOneSplit) {
  Folder folder;
  for (const std::string split : {"train", "val"}) {
    put(folder / split / ("images/p1_slice" + split + ".png"), folder / split / ("masks/p1_slice" + split + ".png"));
  }
  DatasetOptions options = in(folder.path());
  EXPECT_EQ(sizes(Dataset(options)), "1/1/0");
  options.group_by = "^(.+)_slice";
  expect_parts(message_of([&] { Dataset{options}; }), {"of the same group \"p1\" in train"});
}

}  // namespace
}  // namespace unet::layout_kind_test
