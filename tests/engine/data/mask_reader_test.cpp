// Masks as people have them: RGB that is gray, colours, values of any kind, soft edges. What becomes a class, what is
// counted, what is refused and where.
#include "engine/data/mask_reader.h"

#include "engine/data/class_map_proposal.h"
#include "tests/engine/data/sample_data.h"

namespace unet::mask_reader_test {
namespace {

using test::expect_parts;
using test::Folder;
using test::make_stems;
using test::message_of;
using test::open;
using test::fs::path;

constexpr std::array<Rgb, 3> kColors{{{128, 64, 128}, {0, 0, 192}, {0, 0, 0}}};
constexpr const char* kMap = R"([{"name": "road", "value": "#804080", "class": 0}, {"name": "sign", "value": "#0000c0",
  "class": 1}, {"value": "#000000", "class": "ignore"}])";

/// Every mask of a stem layout becomes RGB of these colours by its values 0, 1, 2.
void paint(const path& folder, const std::array<Rgb, 3>& colors = kColors) {
  for (const auto& entry : test::fs::directory_iterator(folder / "masks")) {
    const Image mask = load_mask(entry.path());
    Image rgb(mask.width, mask.height, 3);
    for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
      std::copy_n(colors[mask.pixels[i]].begin(), 3, rgb.pixels.begin() + static_cast<std::ptrdiff_t>(3 * i));
    }
    test::write_bytes(entry.path(), encode_png(rgb));
  }
}

DatasetOptions options_of(const path& folder) {
  DatasetOptions options;
  options.folder = folder;
  return options;
}

Dataset mapped(const path& folder, const std::string& map) {
  DatasetOptions options = options_of(folder);
  options.class_map = parse_class_map(map, "map.json");
  options.classes = options.class_map->classes;
  return Dataset(options);
}

TEST(Masks, RgbOfEqualChannelsAndOpaqueAlphaAreGray) {
  Folder folder;
  make_stems(folder.path(), 12);
  const Dataset plain = open(folder.path());
  paint(folder.path(), {{{0, 0, 0}, {1, 1, 1}, {2, 2, 2}}});
  test::PngFile rgba{6, 4, 8, 6, {}, {}, std::vector<std::uint8_t>(96, 0)};
  for (std::size_t i = 0; i < 24; ++i) rgba.rows[4 * i + 3] = 255;
  for (std::size_t i = 0; i < 3; ++i) rgba.rows[i] = 1;
  test::write_bytes(folder / "masks/pet_003.png", rgba.bytes());
  const Dataset gray = open(folder.path());
  EXPECT_EQ(gray.hash(), plain.hash()) << "the same masks";
  EXPECT_EQ(gray.report(), plain.report());
  rgba.rows[7] = 254;
  test::write_bytes(folder / "masks/pet_003.png", rgba.bytes());
  expect_parts(message_of([&] { open(folder.path()); }), {"pet_003.png", "transparent at x=1 y=0 (alpha 254)"});
}

TEST(Masks, ColoursAskForAClassMap) {
  Folder folder;
  make_stems(folder.path(), 12);
  paint(folder.path());
  expect_parts(message_of([&] { open(folder.path()); }),
               {"pet_000.png", "shows colours, #0000c0 at x=0 y=0", "--class-map FILE", "--write-class-map"});
}

TEST(Masks, AClassMapTurnsColoursIntoClasses) {
  Folder folder;
  make_stems(folder.path(), 12);
  const Dataset plain = open(folder.path());
  Image mask = test::flat_mask(6, 4, 0);
  mask.pixels = {2, 1, 0};
  mask.pixels.resize(24);
  test::write_bytes(folder / "masks/pet_000.png", encode_png(mask));
  paint(folder.path());
  const Dataset data = mapped(folder.path(), kMap);
  expect_parts(data.report(), {"12 (class map)", "#804080 -> class road 95.5 %", "#0000c0 -> class sign 4.2 %",
                               "#000000 -> ignored 0.3 %"});
  EXPECT_EQ(data.class_names(), (std::vector<std::string>{"road", "sign"}));
  const std::vector<std::uint8_t> labels = data.load(data.samples(Split::all)[0]).labels.pixels;
  EXPECT_EQ(std::vector<std::uint8_t>(labels.begin(), labels.begin() + 4), (std::vector<std::uint8_t>{255, 1, 0, 0}));
  EXPECT_NE(data.hash(), plain.hash());
  std::string other = kMap;
  other.replace(other.find("\"ignore\""), 8, "1");
  EXPECT_NE(mapped(folder.path(), other).hash(), data.hash()) << "another map, other labels: no run goes on with it";
}

TEST(Masks, ValuesAndPaletteIndicesAreNamedByNumberOrColour) {
  Folder folder;
  make_stems(folder.path(), 12, 200);
  const std::string by_value = R"([{"value": 0, "class": 1}, {"value": 200, "class": 0}])";
  const std::string by_color = R"([{"value": "#000000", "class": 1}, {"value": "#c8c8c8", "class": 0}])";
  const auto first_labels = [&](const std::string& map) {
    const Dataset data = mapped(folder.path(), map);
    return data.load(data.samples(Split::all)[0]).labels.pixels;
  };
  const std::vector<std::uint8_t> labels = first_labels(by_value);
  EXPECT_EQ(labels[0], 0);
  EXPECT_EQ(labels[1], 1);
  EXPECT_EQ(first_labels(by_color), labels);
  for (const auto& entry : test::fs::directory_iterator(folder / "masks")) {
    Image indices = load_mask(entry.path());
    for (std::uint8_t& value : indices.pixels) value = value > 0;
    test::write_bytes(entry.path(), encode_png(indices, {false, {{0, 0, 0}, {200, 200, 200}}, {}}));
  }
  EXPECT_EQ(first_labels(by_color), labels);
  EXPECT_EQ(first_labels(R"([{"value": 0, "class": 1}, {"value": 1, "class": 0}])"), labels);
}

TEST(Masks, WhatTheMapDoesNotNameIsCountedWithItsFirstPlace) {
  Folder folder;
  make_stems(folder.path(), 12);
  for (const char* name : {"masks/pet_004.png", "masks/pet_007.png"}) {
    Image mask = load_mask(folder / name);
    mask.pixels[13] = mask.pixels[14] = 2;
    test::write_bytes(folder / name, encode_png(mask));
  }
  paint(folder.path(), {{{128, 64, 128}, {0, 0, 192}, {9, 8, 7}}});
  for (int attempt = 0; attempt < 5; ++attempt) {
    expect_parts(message_of([&] { mapped(folder.path(), kMap); }),
                 {"1 values that the class map does not name",
                  "\n  #090807: 4 pixels, the first in " + (folder / "masks/pet_004.png").string() + " at x=1 y=2"});
  }
}

TEST(Masks, OfPhotographsAreRefusedInProportion) {
  Folder folder;
  make_stems(folder.path(), 12);
  Image photo(300, 200, 3);
  for (std::size_t i = 0; i < photo.pixels.size(); ++i)
    photo.pixels[i] = static_cast<std::uint8_t>(i * i * 2654435761u >> 13);
  test::write_bytes(folder / "masks/pet_000.png", encode_png(photo));
  test::write_bytes(folder / "images/pet_000.png", encode_png(photo));
  expect_parts(message_of([&] { mapped(folder.path(), kMap); }), {"more than 256 values", "and 249 more"});
  expect_parts(message_of([&] { propose_class_map(options_of(folder.path())); }),
               {"more than 255 values or colours", "--binarize"});
}

TEST(Masks, OfTwoValuesTheLowerIsBackground) {
  for (const auto& [low, high] : {std::pair{0, 38}, {1, 2}, {1, 255}, {127, 128}}) {
    Folder folder;
    make_stems(folder.path(), 12, static_cast<std::uint8_t>(high));
    for (const auto& entry : test::fs::directory_iterator(folder / "masks")) {
      Image mask = load_mask(entry.path());
      for (std::uint8_t& value : mask.pixels) value = value == 0 ? static_cast<std::uint8_t>(low) : value;
      test::write_bytes(entry.path(), encode_png(mask));
    }
    const Dataset data = open(folder.path());
    expect_parts(data.report(),
                 {"(two values)", fmt::format("{} -> class 0", low), fmt::format("{} -> class 1", high)});
  }
}

TEST(Masks, OfThreeValuesAndTwoClassesAreRefused) {
  Folder folder;
  make_stems(folder.path(), 12, 38);
  Image mask = test::flat_mask(6, 4, 75);
  test::write_bytes(folder / "masks/pet_005.png", encode_png(mask));
  expect_parts(message_of([&] { open(folder.path()); }),
               {"has value 38 at 1 pixels", "0..1 or 255", "--class-map FILE", "--binarize 128"});
}

TEST(Masks, WithSoftEdgesAreBinarized) {
  Folder folder;
  make_stems(folder.path(), 12, 255);
  const Dataset sharp = open(folder.path());
  for (const auto& entry : test::fs::directory_iterator(folder / "masks")) {
    Image mask = load_mask(entry.path());
    mask.pixels[1] = 127;
    mask.pixels[2] = 1;
    test::write_bytes(entry.path(), encode_png(mask));
  }
  test::write_bytes(folder / "masks/pet_002.jpg", encode_jpeg(load_mask(folder / "masks/pet_002.png"), 100));
  test::fs::remove(folder / "masks/pet_002.png");
  expect_parts(message_of([&] { open(folder.path()); }), {"mask is a JPEG", "--binarize 128"});
  DatasetOptions options = options_of(folder.path());
  options.binarize = 128;
  const Dataset data(options);
  EXPECT_EQ(data.hash(), sharp.hash()) << "as the sharp ones";
  expect_parts(data.report(), {"(binary)", "\nbinarized at 128: ",
                               " % of the pixels were neither black nor white, in 12 of 12 "
                               "masks, the first: "});
  options.binarize = 127;
  EXPECT_NE(Dataset(options).hash(), sharp.hash());
  options.classes = 3;
  expect_parts(message_of([&] { Dataset{options}; }), {"--binarize makes masks of two classes"});
}

TEST(ClassMapProposal, NamesWhatIsThere) {
  Folder folder;
  make_stems(folder.path(), 12);
  Image mask = test::flat_mask(6, 4, 255);
  test::write_bytes(folder / "masks/pet_005.png", encode_png(mask));
  const ClassMapProposal gray = propose_class_map(options_of(folder.path()));
  EXPECT_EQ(text_of(gray.map), R"([{"name":"background","value":0,"class":0,"background":true},
 {"name":"class 1","value":1,"class":1},
 {"name":"ignored","value":255,"class":"ignore"}]
)");
  expect_parts(gray.report, {"255 -> ignored      8.33 %\n"});
  EXPECT_EQ(mapped(folder.path(), text_of(gray.map)).hash(), mapped(folder.path(), text_of(gray.map)).hash());

  test::fs::remove(folder / "masks/pet_005.png");
  test::fs::remove(folder / "images/pet_005.png");
  paint(folder.path(), {{{0, 0, 192}, {128, 64, 128}, {}}});
  EXPECT_EQ(text_of(propose_class_map(options_of(folder.path())).map),
            R"([{"name":"background","value":"#0000c0","class":0,"background":true},
 {"name":"class 1","value":"#804080","class":1}]
)");
}

}  // namespace
}  // namespace unet::mask_reader_test
