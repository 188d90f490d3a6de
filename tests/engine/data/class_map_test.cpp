// Which value of a mask is which class, as a file says it: what is read, and what is refused with its place.
#include "engine/data/class_map.h"

#include "engine/data/dataset.h"
#include "tests/support/data_support.h"

namespace unet::class_map_test {
namespace {

using test::expect_parts;
using test::Folder;
using test::message_of;

constexpr const char* kStreet = R"([
  {"name": "void", "value": "#000000", "class": "ignore"},
  {"name": "sky", "value": "#8080FF", "class": 0, "background": true},
  {"name": "road", "value": 7, "class": 1},
  {"value": 255, "class": 1}])";

void expect_refused(const std::string& json, const std::vector<std::string>& parts) {
  const std::string message = message_of([&] { parse_class_map(json, "map.json"); });
  expect_parts(message, parts);
  EXPECT_TRUE(message.starts_with("map.json: ")) << message;
}

TEST(ClassMap, SaysValuesColoursAndNames) {
  const ClassMap map = parse_class_map(kStreet, "map.json");
  EXPECT_EQ(map.classes, 2);
  EXPECT_TRUE(map.has_background);
  ASSERT_EQ(map.entries.size(), 4u);
  EXPECT_EQ(map.entries[0].label, kIgnoredLabel);
  EXPECT_EQ(map.entries[1].value, color_value(0x80, 0x80, 0xff));
  EXPECT_EQ(map.entries[2].value, 7u);
  EXPECT_EQ(map.entries[3].label, 1);
  EXPECT_EQ(class_names(map, 2), (std::vector<std::string>{"sky", "road"}));
  EXPECT_EQ(class_names(std::nullopt, 3), (std::vector<std::string>{"0", "1", "2"}));
}

TEST(ClassMap, IsTheSameWhenWrittenAndReadAgain) {
  const std::string text = text_of(parse_class_map(kStreet, "map.json"));
  EXPECT_EQ(text_of(parse_class_map(text, "again")), text);
  expect_parts(text, {R"("value":"#8080ff")", R"("class":"ignore")", R"("background":true)"});
}

TEST(ClassMap, RefusesWhatMakesNoSense) {
  expect_refused("", {"is no JSON"});
  expect_refused("{}", {"is no list of entries", "\"value\": 7 or \"#rrggbb\""});
  expect_refused("[]", {"is no list of entries"});
  expect_refused("[7]", {"entry 1 is no object"});
  expect_refused(R"([{"class": 0}])", {"entry 1 has no \"value\""});
  expect_refused(R"([{"value": 0}])", {"entry 1 has no \"class\""});
  for (const char* value : {"-1", "256", "1.5", "\"red\"", "\"#12345\"", "\"#12345g\"", "\"#+12345\"", "null", "[]"}) {
    expect_refused(fmt::format(R"([{{"value": {}, "class": 0}}])", value), {"entry 1 has the value "});
  }
  for (const char* label : {"-1", "255", "1.5", "\"ignored\"", "true", "18446744073709551616"}) {
    expect_refused(fmt::format(R"([{{"value": 0, "class": {}}}])", label), {"entry 1 has the class "});
  }
  expect_refused(R"([{"value": 0, "class": 0, "colour": 1}])", {"entry 1 has an unknown \"colour\""});
  expect_refused(R"([{"value": 0, "class": 0, "background": 1}])", {"neither true nor false"});
  expect_refused(R"([{"value": 0, "class": 0}, {"value": 1, "class": 1, "background": true}])",
                 {"entry 2 is background and not class 0"});
  expect_refused(R"([{"value": 0, "class": 0, "value": 1}])", {"an entry gives \"value\" twice"});
  expect_refused(R"([{"value": 3, "class": 0}, {"value": 3, "class": 1}])", {"entry 2 has the value 3 of entry 1"});
  expect_refused(R"([{"value": 0, "class": 0}, {"value": 1, "class": 2}])", {"names class 2 and no class 1"});
  expect_refused(R"([{"value": 0, "class": 0}, {"value": 1, "class": "ignore"}])", {"names 1 classes"});
  expect_refused(R"([{"value": 0, "class": 0, "name": "a"}, {"value": 1, "class": 1, "name": "a"}])",
                 {"two classes are called \"a\""});
  expect_refused(R"([{"value": 0, "class": 0, "name": "1"}, {"value": 1, "class": 1}])",
                 {"two classes are called \"1\""});
}

TEST(ClassMap, ANameIsPlainText) {
  for (const std::string& name :
       {std::string(), std::string(65, 'x'), std::string("\\u001b[2J"), std::string("a\\nb")}) {
    expect_refused(fmt::format(R"([{{"value": 0, "class": 0, "name": "{}"}}])", name), {"entry 1 has the name"});
  }
  expect_refused(R"([{"value": 0, "class": 0, "name": 7}])", {"a \"name\" that is no text"});
}

TEST(ClassMap, OfAHostileFileCostsLittle) {
  std::string list = "[", deep(500'000, '[');
  for (int i = 0; i < 256; ++i) list += fmt::format(R"({}{{"value": "#{:06x}", "class": 0}})", i > 0 ? "," : "", i);
  expect_refused(list + "]", {"256 entries, expected at most 255"});
  expect_refused(deep, {"is no JSON"});
  expect_refused(R"([{"class": 0, "value": )" + deep + std::string(500'000, ']') + "}]", {"the value array"});
  const Folder folder;
  test::write_text(folder / "map.json", "");
  test::fs::resize_file(folder / "map.json", 100'000'000);
  expect_parts(message_of([&] { read_class_map(folder / "map.json"); }),
               {"map.json: 100000000 bytes, at most 1048576 are read"});
  expect_parts(message_of([&] { read_class_map(folder / "none.json"); }), {"none.json"});
}

}  // namespace
}  // namespace unet::class_map_test
