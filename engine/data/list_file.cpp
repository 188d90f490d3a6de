#include "engine/data/list_file.h"

#include <unordered_map>
#include <vector>

#include "engine/core/error.h"
#include "engine/io/image.h"

namespace unet {
namespace {

constexpr std::size_t kLongestLine = 4096;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view blanks = " \t\r\v\f";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Made into text only for a message.
struct Where {
  const std::filesystem::path& path;
  int line;
  std::string str() const { return fmt::format("{}:{}", path.string(), line); }
};

void check_line(std::string_view line, const Where& where) {
  if (line.size() > kLongestLine) {
    throw Error("{}: a line of {} bytes, expected a name of at most {}: is this a list of names?", where.str(),
                line.size(), kLongestLine);
  }
  if (line.find('\0') != std::string_view::npos) {
    throw Error("{}: a NUL byte, expected text in UTF-8: save the list as UTF-8 (UTF-16 is not read)", where.str());
  }
}

/// Where a character begins that a terminal may obey (below U+0020, U+007F to U+009F); npos if there is none.
std::size_t find_control(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    const auto next = static_cast<unsigned char>(i + 1 < name.size() ? name[i + 1] : 0);
    if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next >= 0x80 && next < 0xa0)) return i;
  }
  return name.npos;
}

void check_name(std::string_view name, const Where& where) {
  if (const std::size_t at = find_control(name); at != name.npos) {
    throw Error("{}: a control character at byte {} of the name, expected plain text: is this a list of names?",
                where.str(), at + 1);
  }
  if (name.find_first_of("/\\") == std::string_view::npos && name != "." && name != "..") return;
  throw Error("{}: name \"{}\" leads to another folder, expected a plain name without folder and extension",
              where.str(), name);
}

}  // namespace

Comments read_list(const std::filesystem::path& path, ListColumns columns, const StemOf& stem_of,
                   const std::function<void(const ListedName&)>& use) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  Comments comments;
  std::unordered_map<std::string, int> seen;
  for (Where where{path, 1}; !text.empty(); ++where.line) {
    const std::size_t end = text.find('\n');
    const std::string_view raw = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    check_line(raw, where);
    std::string_view listed = trimmed(raw);
    if (listed.empty()) continue;
    if (columns == ListColumns::first_word) listed = listed.substr(0, listed.find_first_of(blanks));
    const std::string stem = stem_of(std::string(listed));
    if (stem.empty() && listed.front() == '#') {
      if (comments.count++ == 0) comments.first_line = where.line;
      continue;
    }
    check_name(listed, where);
    const ListedName name{stem.empty() ? std::string(listed) : stem, where.line, !stem.empty() && stem != listed};
    if (const auto [other, is_new] = seen.emplace(name.name, where.line); !is_new) {
      throw Error("{}: \"{}\" stands on line {} already, expected each name once", where.str(), name.name,
                  other->second);
    }
    use(name);
  }
  return comments;
}

}  // namespace unet
