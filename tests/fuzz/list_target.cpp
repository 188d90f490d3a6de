#include <algorithm>
#include <set>
#include <string_view>

#include "engine/data/list_file.h"
#include "tests/fuzz/targets.h"

namespace unet::fuzz {

void fuzz_list(Bytes bytes) {
  const MemoryFile file(bytes);
  for (const ListColumns columns : {ListColumns::first_word, ListColumns::whole_line}) {
    std::vector<ListedName> names;
    if (!accepted(
            [&] { names = read_list(file.path(), columns, [](const std::string&) { return std::string(); }).names; }))
      continue;
    std::set<std::string_view> seen;
    int line = 0;
    for (const ListedName& listed : names) {
      const std::string_view name = listed.name;
      require(!name.empty() && name.size() <= 4096, "a name has 1 to 4096 bytes");
      require(name != "." && name != ".." && name.find('/') == name.npos, "a name stays in its folder");
      const auto is_control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; };
      require(std::none_of(name.begin(), name.end(), is_control), "a name is safe to print");
      require(seen.insert(name).second, "a name stands once");
      require(listed.line > line, "lines are counted upwards");
      line = listed.line;
    }
  }
}

}  // namespace unet::fuzz
