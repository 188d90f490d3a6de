#include <algorithm>
#include <set>

#include "engine/core/text.h"
#include "engine/data/class_map.h"
#include "engine/data/dataset.h"
#include "tests/fuzz/targets.h"

namespace unet::fuzz {

void fuzz_class_map(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  accepted([&] {
    const ClassMap map = parse_class_map(text, "map.json");
    require(!map.entries.empty() && map.entries.size() <= ClassMap::kMostEntries, "entries are bounded");
    require(map.classes >= 2 && map.classes < kIgnoredLabel, "classes are bounded");
    std::set<int> labels;
    std::set<MaskValue> values;
    for (const ClassMap::Entry& entry : map.entries) {
      require(entry.value < 256 || (entry.value >> 24) == 1, "a value is a byte or a colour");
      require(values.insert(entry.value).second, "a value stands once");
      require(plain_length(entry.name) == entry.name.size(), "a name is safe to print");
      if (entry.label != kIgnoredLabel) labels.insert(entry.label);
    }
    require(static_cast<int>(labels.size()) == map.classes && *labels.rbegin() == map.classes - 1,
            "classes are numbered without a gap");
    require(text_of(parse_class_map(text_of(map), "again")) == text_of(map), "it is the same when read again");
  });
}

}  // namespace unet::fuzz
