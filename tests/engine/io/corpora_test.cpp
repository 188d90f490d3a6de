// Decoding against the given corpora: valid PNGs pixel for pixel, broken files as their table wants.
#include <dirent.h>

#include <ctime>
#include <map>

#include "engine/io/image.h"
#include "tests/support/data_support.h"
#include "tests/support/long_run.h"
#include "tests/support/places.h"

namespace unet::corpora_test {
namespace {

/// png's own list: pixels of PngSuite as the image-png crate gives them (EXPAND: bits below 8 scaled, 16 bits kept).
std::map<std::string, std::uint32_t> imagepng_crcs() {
  std::map<std::string, std::uint32_t> crcs;
  std::ifstream file(places::given("corpora/pngsuite/imagepng_results_crc32.txt"));
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": "), slash = line.rfind('/', colon);
    if (line.find("pngsuite/") == std::string::npos || line.ends_with("Expected failure")) continue;
    crcs[line.substr(slash + 1, colon - slash - 1)] = static_cast<std::uint32_t>(std::stoul(line.substr(colon + 2)));
  }
  return crcs;
}

TEST(PngSuite, DecodesPixelForPixel) {
  const test::fs::path root = places::given("corpora/pngsuite");
  if (!test::fs::exists(root)) GTEST_SKIP() << root << " is not there";
  const auto table = test::read_table(places::source("tests/engine/io/pngsuite_reference.tsv"));
  ASSERT_EQ(table.size(), 507u);
  const auto imagepng = imagepng_crcs();
  int compared = 0;
  for (const auto& row : table) {
    SCOPED_TRACE(row[0]);
    const Image image = load_image(root / row[0]);
    EXPECT_EQ(image.width, std::stoi(row[1]));
    EXPECT_EQ(image.height, std::stoi(row[2]));
    EXPECT_EQ(image.channels, std::stoi(row[3]));
    const std::uint32_t crc = test::crc32(image.pixels.data(), image.pixels.size());
    EXPECT_EQ(crc, std::stoul(row[4]));
    EXPECT_EQ(read_image_head(root / row[0]).seen_size(Exif::apply), (ImageSize{image.width, image.height}));
    if (row[5] == "-") {
      try {
        EXPECT_EQ(to_rgb(load_mask(root / row[0])).pixels, to_rgb(image).pixels) << "colours, or opaque gray";
      } catch (const Error&) {  // 16 bits, or transparent
      }
    } else {
      const Image mask = load_mask(root / row[0]);
      EXPECT_EQ(test::crc32(mask.pixels.data(), mask.pixels.size()), std::stoul(row[5]));
    }
    const std::string name = test::fs::path(row[0]).filename().string();
    const bool sixteen_bits = name.find("16.png") != std::string::npos;
    if (!sixteen_bits && row[0].starts_with("schaik/") && imagepng.contains(name)) {
      EXPECT_EQ(crc, imagepng.at(name));
      ++compared;
    }
  }
  EXPECT_GE(compared, 100);
}

struct BadImage {
  test::fs::path path;
  std::string want;
};

std::vector<BadImage> bad_images() {
  std::vector<BadImage> images;
  for (const auto& row : test::read_table(places::given("corpora/badimages/EXPECT.tsv"))) {
    images.push_back({test::fs::path(places::given("corpora/badimages")) / row.at(0), row.at(7)});
  }
  return images;
}

/// The table looks at a decoder's first complaint alone, which is harmless in these; a later one says that data are
/// missing or that their codes make no sense: pixels would be made up.
bool lacks_data(const test::fs::path& path) {
  const std::string name = path.filename().string();
  for (const char* begin :
       {"id_002591", "id_002983", "id_002570", "21ad703b", "28c74d92", "3cc4a7fc", "3ef05501", "5482a546", "5baad44c",
        "5bc61724", "75e4bd75", "9efd60f0", "a7326ba8", "ba60305a", "eecb78b9"}) {
    if (name.starts_with(begin)) return true;
  }
  return false;
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

TEST(BadImages, AsWanted) {
  if (!test::fs::exists(places::given("corpora/badimages")))
    GTEST_SKIP() << places::given("corpora/badimages") << " is not there";
  const std::vector<BadImage> images = bad_images();
  ASSERT_EQ(images.size(), 237u);
  double slowest = 0;
  int lacking = 0;
  for (const auto& [path, wanted] : images) {
    const std::string want = lacks_data(path) ? "reject" : wanted;
    lacking += lacks_data(path);
    SCOPED_TRACE(path.string() + ": " + want);
    const double begin = cpu_seconds();
    std::string refusal;
    std::int64_t warnings = 0;
    try {
      const Image image = load_image(path);
      warnings = image.warnings;
      EXPECT_EQ(image.pixels.size(), static_cast<std::size_t>(image.width) * image.height * image.channels);
      EXPECT_EQ(read_image_head(path).seen_size(Exif::apply), (ImageSize{image.width, image.height}));
      EXPECT_EQ(to_rgb(image).channels, 3);
    } catch (const Error& error) {
      refusal = error.what();
      EXPECT_TRUE(refusal.starts_with(path.string())) << refusal;
    }
    slowest = std::max(slowest, cpu_seconds() - begin);
    if (want.starts_with("reject")) {
      EXPECT_FALSE(refusal.empty());
    } else {
      EXPECT_EQ(refusal, "");
    }
    if (want == "accept") {
      EXPECT_EQ(warnings, 0);
    }
    if (want == "accept+count") {
      EXPECT_GT(warnings, 0);
    }
    if (want.starts_with("as image")) {
      EXPECT_THROW(if (load_mask(path).channels != 1) throw Error("{}: colours", path.string()), Error);
    }
  }
  EXPECT_LE(slowest, 2.0);
  EXPECT_EQ(lacking, 15);
}

std::int64_t resident_kib() {
  std::ifstream file("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE) / 1024;
}

std::int64_t open_descriptors() {
  std::int64_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder)) ++count;
  ::closedir(folder);
  return count;
}

TEST(BadImages, LeaveMemoryAndDescriptorsFlat) {
  if (!test::fs::exists(places::given("corpora/badimages")))
    GTEST_SKIP() << places::given("corpora/badimages") << " is not there";
  std::vector<BadImage> rejected = bad_images();
  std::erase_if(rejected, [](const BadImage& image) { return !image.want.starts_with("reject"); });
  ASSERT_GE(rejected.size(), 100u);
  const auto decode = [&](int count) {
    for (int i = 0; i < count; ++i) {
      EXPECT_THROW(load_image(rejected[static_cast<std::size_t>(i) % rejected.size()].path), Error);
    }
  };
  decode(500);
  const std::int64_t kib = resident_kib(), descriptors = open_descriptors();
  decode(tests::long_run() ? 10'000 : 2'000);
  EXPECT_EQ(open_descriptors(), descriptors);
  if (!test::sanitized) {
    EXPECT_LE(resident_kib(), kib + 1024);
  }
}

TEST(Quirks, OfThePetData) {
  const test::fs::path folder = places::given("data/pets_quirks/images");
  if (!test::fs::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const Image image = load_image(folder / "Abyssinian_5.jpg");  // a PNG
  EXPECT_EQ(image.channels, 4);
  EXPECT_EQ(image.width, 200);
  EXPECT_EQ(image.height, 150);
  const std::string message = test::message_of([&] { load_image(folder / "Abyssinian_34.jpg"); });
  test::expect_parts(message, {"Abyssinian_34.jpg", "a GIF image", "expected JPEG or PNG", "convert it"});
}

/// Pillow 12.3.0: Image.open(f).convert("RGB").getpixel((x, y)) of the CMYK files.
TEST(Cmyk, IsConvertedAsPillowDoes) {
  const test::fs::path folder = places::given("corpora/badimages/jpeg/jpegdecoder_reftest_valid");
  if (!test::fs::exists(folder)) GTEST_SKIP() << folder << " is not there";
  struct Pixel {
    const char* file;
    int x, y, rgb[3];
  };
  for (const Pixel& p : std::initializer_list<Pixel>{{"mozilla__jpg-cmyk-1.jpg", 0, 0, {255, 255, 0}},
                                                     {"mozilla__jpg-cmyk-1.jpg", 7, 20, {197, 90, 0}},
                                                     {"mozilla__jpg-cmyk-1.jpg", 31, 31, {0, 0, 255}},
                                                     {"mozilla__jpg-cmyk-2.jpg", 10, 10, {255, 255, 255}},
                                                     {"mozilla__jpg-cmyk-2.jpg", 100, 60, {255, 255, 255}},
                                                     {"mozilla__jpg-cmyk-2.jpg", 200, 200, {255, 255, 255}},
                                                     {"mozilla__jpg-cmyk-2.jpg", 30, 220, {255, 255, 255}}}) {
    const Image image = load_image(folder / p.file);
    ASSERT_EQ(image.channels, 3);
    for (int c = 0; c < 3; ++c) EXPECT_NEAR(image.row(p.y)[3 * p.x + c], p.rgb[c], 2) << p.file;
  }
}

}  // namespace
}  // namespace unet::corpora_test
