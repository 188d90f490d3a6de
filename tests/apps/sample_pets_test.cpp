// make_sample_pets: a data set in the Oxford layout, the same bytes for the same seed.
#include "engine/io/image.h"
#include "tests/apps/program.h"

namespace unet::test::sample_pets_test {
namespace {

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) out[fs::relative(entry.path(), folder).string()] = text_of(entry.path());
  }
  return out;
}

ProgramResult make(const fs::path& folder, const Words& words) {
  return make_sample_pets(Words{"-o", folder.string()} + words);
}

TEST(SamplePets, SameSeedSameBytes) {
  const Folder folder;
  const Words size{"--trainval", "4", "--test", "2"};
  for (const char* seed : {"3", "4"}) {
    ASSERT_EQ(make(folder / seed, size + Words{"--seed", seed}).code, 0);
  }
  ASSERT_EQ(make(folder / "again", size + Words{"--seed", "3"}).code, 0);
  EXPECT_TRUE(files_of(folder / "3") == files_of(folder / "again"));
  EXPECT_TRUE(files_of(folder / "3") != files_of(folder / "4"));
}

TEST(SamplePets, OxfordLayoutAndTrimaps) {
  const Folder folder;
  const ProgramResult made = make(folder / "pets", {"--trainval", "5", "--test", "3"});
  ASSERT_EQ(made.code, 0) << made.err;
  expect_parts(made.out, {"5 synthetic", "3 to test"});
  const fs::path annotations = folder / "pets" / "annotations";
  std::vector<std::string> listed;
  for (const char* list : {"trainval.txt", "test.txt"}) {
    for (const std::string& line : lines_of(text_of(annotations / list))) {
      if (!line.starts_with('#')) listed.push_back(line.substr(0, line.find(' ')));
    }
  }
  ASSERT_EQ(listed.size(), 8u);
  std::map<std::string, int> photos;
  for (const std::string& name : listed) {
    EXPECT_TRUE(name.starts_with("synthetic_")) << name;
    const fs::path jpeg = folder / "pets" / "images" / (name + ".jpg");
    const Image photo = load_image(jpeg), trimap = load_mask(annotations / "trimaps" / (name + ".png"));
    EXPECT_EQ(text_of(jpeg).substr(0, 2), "\xff\xd8");
    EXPECT_EQ(photo.channels, 3);
    EXPECT_EQ(std::pair(photo.width, photo.height), std::pair(trimap.width, trimap.height));
    std::array<int, 256> count{};
    for (const std::uint8_t value : trimap.pixels) ++count[value];
    for (const std::size_t value : {1, 2, 3}) EXPECT_GT(count[value], 0) << name << " has no " << value;
    EXPECT_EQ(count[1] + count[2] + count[3], photo.width * photo.height);
    ++photos[text_of(jpeg)];
  }
  EXPECT_EQ(photos.size(), 8u) << "two pictures are the same";
  EXPECT_EQ(names_in(folder / "pets" / "images").size(), 8u);
}

TEST(SamplePets, RefusesAFolderThatHoldsSomething) {
  const Folder folder;
  write_text(folder / "mine" / "letter.txt", "dear");
  const ProgramResult result = make(folder / "mine", {"--trainval", "2", "--test", "1"});
  EXPECT_EQ(result.code, 1);
  expect_parts(result.err, {(folder / "mine").string(), "exists already", "--output"});
  EXPECT_EQ(names_in(folder / "mine"), std::vector<std::string>{"letter.txt"});
}

TEST(SamplePets, WrongUse) {
  const Folder folder;
  EXPECT_EQ(make(folder / "a", {"--trainval", "0"}).code, 2);
  EXPECT_EQ(make(folder / "a", {"--colour"}).code, 2);
  EXPECT_FALSE(fs::exists(folder / "a"));
  const ProgramResult below_a_file = make("/dev/null/pets", {"--trainval", "2", "--test", "1"});
  EXPECT_EQ(below_a_file.code, 1);
  expect_parts(below_a_file.err, {"/dev/null/pets"});
  EXPECT_EQ(make_sample_pets({"--help"}).code, 0);
  EXPECT_EQ(make_sample_pets({"--version"}).code, 0);
}

}  // namespace
}  // namespace unet::test::sample_pets_test
