// Lists of names: one a line, UTF-8 with or without a byte order mark, LF or CRLF; blank lines are skipped. A line that
// begins with `#` is a comment, unless it names a picture.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace unet {

struct ListedName {
  std::string name;
  int line = 0;             ///< counted from 1, comments and blank lines included
  bool has_ending = false;  ///< the list gives the name of the file, `name` is its stem
};

struct NameList {
  std::vector<ListedName> names;
  std::vector<int> comments;  ///< their lines
};

enum class ListColumns { first_word, whole_line };

/// The stem of the picture that a listed name means; empty if there is none.
using StemOf = std::function<std::string(const std::string& listed)>;

/// Throws Error with file and line on a name that is no plain file name (a folder part, `..`, an absolute path, a
/// control character), on a NUL byte, on a line above 4,096 bytes and on a name given twice. A name that means no
/// picture is returned as it stands, an empty list as such.
NameList read_list(const std::filesystem::path& path, ListColumns columns, const StemOf& stem_of);

}  // namespace unet
