#include "engine/data/class_map.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/data/dataset.h"

namespace unet {
namespace {

using Json = nlohmann::ordered_json;
using Entry = ClassMap::Entry;

constexpr std::size_t kLongestClassName = 64;
constexpr const char* kExpected =
    R"(expected {"name": "road", "value": 7 or "#rrggbb", "class": 0, 1, ... or "ignore", "background": true})";

/// One entry, its place in messages.
class Reader {
 public:
  Reader(const Json& entry, std::string where) : entry_(entry), where_(std::move(where)) {}

  Entry entry() const {
    if (!entry_.is_object()) fail("is no object");
    for (const auto& [key, value] : entry_.items()) {
      if (key != "name" && key != "value" && key != "class" && key != "background") {
        fail(fmt::format("has an unknown \"{}\"", printable(key)));
      }
    }
    Entry out;
    if (entry_.contains("name")) out.name = name();
    if (!entry_.contains("value")) fail("has no \"value\"");
    if (!entry_.contains("class")) fail("has no \"class\"");
    out.value = value();
    out.label = label();
    return out;
  }

  bool background() const {
    if (!entry_.contains("background")) return false;
    if (!entry_["background"].is_boolean()) fail("has a \"background\" that is neither true nor false");
    return entry_["background"].get<bool>();
  }

  [[noreturn]] void fail(const std::string& reason) const { throw Error("{} {}; {}", where_, reason, kExpected); }

 private:
  std::string name() const {
    if (!entry_["name"].is_string()) fail("has a \"name\" that is no text");
    std::string name = entry_["name"].get<std::string>();
    if (name.empty() || name.size() > kLongestClassName || plain_length(name) != name.size()) {
      fail(
          fmt::format("has the name \"{}\", expected 1 to {} bytes of plain text", printable(name), kLongestClassName));
    }
    return name;
  }

  /// Nothing if it is no whole number from 0 to most.
  std::optional<int> number(const char* key, int most) const {
    const Json& value = entry_[key];
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(most)) return {};
    return value.get<int>();
  }

  /// A list or an object, which may be nested without end, by its kind.
  std::string shown(const char* key) const {
    const Json& value = entry_[key];
    return value.is_primitive() ? printable(value.dump()) : std::string(value.type_name());
  }

  MaskValue value() const {
    if (const std::optional<int> gray = number("value", 255)) return static_cast<MaskValue>(*gray);
    if (entry_["value"].is_string()) {
      const std::string text = entry_["value"].get<std::string>();
      std::uint32_t rgb = 0;
      const auto [end, error] = std::from_chars(text.data() + !text.empty(), text.data() + text.size(), rgb, 16);
      if (text.size() == 7 && text[0] == '#' && error == std::errc() && end == text.data() + text.size()) {
        return 0x1000000u | rgb;
      }
    }
    fail("has the value " + shown("value"));
  }

  int label() const {
    if (entry_["class"] == "ignore") return kIgnoredLabel;
    if (const std::optional<int> label = number("class", 254)) return *label;
    fail("has the class " + shown("class"));
  }

  const Json& entry_;
  std::string where_;
};

/// Throws Error unless classes are 0, 1, ... without a gap, two at least, and differ in their names.
void check_classes(const ClassMap& map, const std::string& where) {
  if (map.classes < 2) throw Error("{}: names {} classes, expected two at least: {}", where, map.classes, kExpected);
  for (int c = 0; c < map.classes; ++c) {
    const auto is_c = [&](const Entry& entry) { return entry.label == c; };
    if (std::any_of(map.entries.begin(), map.entries.end(), is_c)) continue;
    throw Error("{}: names class {} and no class {}: number the classes 0, 1, ... without a gap", where,
                map.classes - 1, c);
  }
  std::vector<std::string> names = class_names(map, map.classes);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw Error("{}: two classes are called \"{}\": give each its own name", where, *twice);
}

}  // namespace

std::string text_of(MaskValue value) {
  return value < 0x1000000u ? std::to_string(value) : fmt::format("#{:06x}", value & 0xffffffu);
}

ClassMap parse_class_map(std::string_view json, const std::string& where) {
  if (json.size() > ClassMap::kMostBytes) {
    throw Error("{}: {} bytes, expected a class map of at most {}", where, json.size(), ClassMap::kMostBytes);
  }
  std::set<std::string> keys;  // of the entry under way: one given twice would be lost
  const auto note_key = [&](int, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.clear();
    if (event == Json::parse_event_t::key && !keys.insert(parsed.get<std::string>()).second) {
      throw Error("{}: an entry gives {} twice; {}", where, printable(parsed.dump()), kExpected);
    }
    return true;
  };
  Json list;
  try {
    list = Json::parse(json, note_key);
  } catch (const Json::exception& error) {
    throw Error("{}: is no JSON: {}; expected a list, for each value of a mask {}", where, error.what(), kExpected);
  }
  if (!list.is_array() || list.empty()) throw Error("{}: is no list of entries; {}", where, kExpected);
  if (list.size() > ClassMap::kMostEntries) {
    throw Error("{}: {} entries, expected at most {}", where, list.size(), ClassMap::kMostEntries);
  }
  ClassMap map;
  for (const Json& item : list) {
    const Reader reader(item, fmt::format("{}: entry {}", where, map.entries.size() + 1));
    const Entry entry = reader.entry();
    for (std::size_t i = 0; i < map.entries.size(); ++i) {
      if (map.entries[i].value == entry.value) {
        reader.fail(fmt::format("has the value {} of entry {}", text_of(entry.value), i + 1));
      }
    }
    if (reader.background() && entry.label != 0) {
      reader.fail("is background and not class 0: give the background class 0");
    }
    map.has_background = map.has_background || reader.background();
    if (entry.label != kIgnoredLabel) map.classes = std::max(map.classes, entry.label + 1);
    map.entries.push_back(entry);
  }
  check_classes(map, where);
  return map;
}

ClassMap read_class_map(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = read_file(path, ClassMap::kMostBytes);
  return parse_class_map({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

std::string text_of(const ClassMap& map) {
  std::string out = "[";
  for (const Entry& entry : map.entries) {
    Json item;
    if (!entry.name.empty()) item["name"] = entry.name;
    if (entry.value < 0x1000000u) {
      item["value"] = entry.value;
    } else {
      item["value"] = text_of(entry.value);
    }
    if (entry.label == kIgnoredLabel) {
      item["class"] = "ignore";
    } else {
      item["class"] = entry.label;
    }
    if (entry.label == 0 && map.has_background) item["background"] = true;
    out += (out.size() > 1 ? ",\n " : "") + item.dump();
  }
  return out + "]\n";
}

std::vector<std::string> class_names(const std::optional<ClassMap>& map, int classes) {
  std::vector<std::string> names(static_cast<std::size_t>(classes));
  for (const Entry& entry : map ? map->entries : std::vector<Entry>()) {
    if (entry.label < classes && names[static_cast<std::size_t>(entry.label)].empty()) {
      names[static_cast<std::size_t>(entry.label)] = entry.name;
    }
  }
  for (std::size_t c = 0; c < names.size(); ++c) {
    if (names[c].empty()) names[c] = std::to_string(c);
  }
  return names;
}

}  // namespace unet
