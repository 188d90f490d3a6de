// Lists of names: one a line, UTF-8 with or without a byte order mark, LF or CRLF, `#` comments and blank lines
// skipped.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace unet {

enum class ListColumns { first_word, whole_line };

/// Calls use(name, line) for each name, in order; lines are counted from 1, comments and blank ones included. Nothing
/// is kept of a list but its bytes and the names used so far: a list that `use` ends early costs no more. Throws Error
/// with file and line on a name that is no plain file name (a folder part, `..`, an absolute path, a control
/// character), on a NUL byte, on a line above 4,096 bytes and on a name given twice.
void read_list(const std::filesystem::path& path, ListColumns columns,
               const std::function<void(std::string_view name, int line)>& use);

}  // namespace unet
