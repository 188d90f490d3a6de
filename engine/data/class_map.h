// Which value or colour of a mask is which class: a JSON list, an object an entry,
//
//   [{"name": "sky", "value": "#8080ff", "class": 0, "background": true}, {"name": "road", "value": 7, "class": 1},
//    {"value": "#000000", "class": "ignore"}]
//
// value: 0..255 of a gray pixel or an index into a palette, or a colour "#rrggbb". class: 0, 1, ... without a gap, or
// "ignore"; several entries may be one class, then the first names it. name: of a class, may be left out. background:
// class 0 is what is left over and never scored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace unet {

/// A gray value or index 0..255, or 0x1000000 + 0xRRGGBB.
using MaskValue = std::uint32_t;
constexpr MaskValue color_value(std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  return 0x1000000u | std::uint32_t{red} << 16 | std::uint32_t{green} << 8 | blue;
}
/// "7" or "#rrggbb".
std::string text_of(MaskValue value);

struct ClassMap {
  struct Entry {
    std::string name;
    MaskValue value = 0;
    int label = 0;  ///< a class, or kIgnoredLabel
  };

  std::vector<Entry> entries;  ///< at most kMostEntries, no value twice
  int classes = 0;
  bool has_background = false;

  static constexpr std::size_t kMostEntries = 255;
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20;  ///< of a file
};

/// `where` stands in messages. Throws Error naming it, the entry, what was found and expected.
ClassMap parse_class_map(std::string_view json, const std::string& where);
ClassMap read_class_map(const std::filesystem::path& path);
/// What parse_class_map reads back as the same map, an entry a line.
std::string text_of(const ClassMap& map);

/// A name for each class: the map's, else its number.
std::vector<std::string> class_names(const std::optional<ClassMap>& map, int classes);

}  // namespace unet
