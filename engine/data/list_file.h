// Lists of names: one a line, UTF-8 with or without a byte order mark, LF or CRLF; blank lines are skipped. A line that
// begins with `#` is a comment, unless it names a picture.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace unet {

struct ListedName {
  std::string name;
  int line = 0;             ///< counted from 1, comments and blank lines included
  bool has_ending = false;  ///< the list gives the name of the file, `name` is its stem
};

struct Comments {
  std::int64_t count = 0;
  int first_line = 0;
};

enum class ListColumns { first_word, whole_line };

/// The stem of the picture that a listed name means; empty if there is none.
using StemOf = std::function<std::string(const std::string& listed)>;

/// Calls use() for each name, in order; a line with # in front is a name only if it means a picture. Nothing is kept of
/// a list but its bytes and the names used so far: a list that `use` ends early costs no more. Throws Error with file
/// and line on a name that is no plain file name (a folder part, `..`, an absolute path, a control character), on a
/// NUL byte, on a line above 4,096 bytes and on a name given twice. A name that means no picture is given as it stands.
Comments read_list(const std::filesystem::path& path, ListColumns columns, const StemOf& stem_of,
                   const std::function<void(const ListedName&)>& use);

}  // namespace unet
