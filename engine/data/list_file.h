// Lists of names: one a line, UTF-8 with or without a byte order mark, LF or CRLF, `#` comments and blank lines
// skipped.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace unet {

struct ListedName {
  std::string name;
  int line = 0;  ///< counted from 1, comments and blank lines included
};

enum class ListColumns { first_word, whole_line };

/// Throws Error with file and line on a name that is no plain file name (a folder part, `..`, an absolute path, a
/// control character), on a NUL byte, on a line above 4,096 bytes and on a name given twice. An empty list is returned
/// as such.
std::vector<ListedName> read_list(const std::filesystem::path& path, ListColumns columns);

}  // namespace unet
