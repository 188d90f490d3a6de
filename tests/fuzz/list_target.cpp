#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "engine/data/list_file.h"
#include "tests/fuzz/targets.h"

namespace unet::fuzz {

void fuzz_list(Bytes bytes) {
  const MemoryFile file(bytes);
  for (const ListColumns columns : {ListColumns::first_word, ListColumns::whole_line}) {
    std::set<std::string, std::less<>> seen;
    int last = 0;
    const auto use = [&](const ListedName& listed) {
      const std::string_view name = listed.name;
      require(!name.empty() && name.size() <= 4096, "a name has 1 to 4096 bytes");
      require(name != "." && name != ".." && name.find('/') == name.npos, "a name stays in its folder");
      const auto is_control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; };
      require(std::none_of(name.begin(), name.end(), is_control), "a name is safe to print");
      require(seen.emplace(name).second, "a name stands once");
      require(listed.line > last, "lines are counted upwards");
      last = listed.line;
    };
    accepted([&] {
      read_list(
          file.path(), columns, [](const std::string&) { return std::string(); }, use);
    });
  }
}

}  // namespace unet::fuzz
